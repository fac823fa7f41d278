// Bytes of a connection to an HTTP request, by Boost.Beast's parser; strict where leniency would let requests be smuggled.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/http.h"

namespace infernum::server {

struct RequestLimits {
  size_t header_bytes = 16 << 10;
  size_t fields = 100;
  size_t url_bytes = 8 << 10;
  size_t body_bytes = 32 << 20;
};

/// One request. Its target stays raw in path: decoding it is the router's business.
class RequestParser {
 public:
  RequestParser(const RequestLimits& limits, HttpRequest& request);
  ~RequestParser();

  enum class State { NeedMore, Head, Done, Failed };
  /// Takes from the front of `bytes`. Head comes once, behind the header, even if there is no body. What is left over at NeedMore is to be
  /// given again with more behind it; it is never longer than unparsed_limit.
  State feed(std::string_view& bytes);
  static constexpr size_t unparsed_limit = 64 << 10;

  int status() const;                ///< of the answer to a Failed one
  std::string_view message() const;  ///< the rule that it broke
  bool keep_alive() const;
  bool http_1_0() const;
  bool expects_continue() const;
  bool has_body() const;  ///< after Head: more is to come
  std::optional<uint64_t> content_length() const;
  void discard_body();  ///< read it, but do not keep it

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace infernum::server
