// Who asks, and what is remembered of an answered request.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/http.h"

namespace infernum::server {

/// One answered, refused or abandoned request.
struct AccessRecord {
  std::string_view method, path, route, id, key, peer;  ///< route: empty where none matched
  int status = 0;                                       ///< 499: the client went before a status was sent
  bool streamed = false, gone = false;
  double seconds = 0;
  size_t bytes_in = 0, bytes_out = 0;  ///< bodies
  const std::vector<std::pair<std::string_view, std::string>>* notes = nullptr;
  std::string_view note(std::string_view name) const;
};

/// What a request may use while it runs; ends with it.
class Grant {
 public:
  virtual ~Grant() = default;
  /// The request is over and has used so many tokens.
  virtual void charge(int64_t tokens) = 0;
};

/// Decides who may come in.
class Doorkeeper {
 public:
  virtual ~Doorkeeper() = default;
  /// Sets request.key; an answer refuses the request.
  virtual std::optional<HttpResponse> identify(HttpRequest& request, Access access) = 0;
  struct Admission {
    std::unique_ptr<Grant> grant;
    std::optional<HttpResponse> refusal;
    std::vector<std::pair<std::string, std::string>> headers;  ///< of the answer
  };
  /// Counts a request of request.key against its rates.
  virtual Admission admit(const HttpRequest& request) = 0;
};

}  // namespace infernum::server
