// Bytes in and out of one connection without ever blocking, plain or by TLS.
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace infernum::server {

struct IoResult {
  enum class Status { Done, WantRead, WantWrite, End, Failed } status = Status::Done;
  size_t bytes = 0;
};

/// One client's TLS state, over a descriptor that it does not own.
class TlsSession {
 public:
  virtual ~TlsSession() = default;
  virtual IoResult read(char* to, size_t bytes) = 0;
  virtual IoResult write(std::string_view from) = 0;
};

/// Server certificate and key. Sessions that are open keep what they began with when it is replaced.
class TlsContext {
 public:
  virtual ~TlsContext() = default;
  virtual std::unique_ptr<TlsSession> accept(int fd) = 0;
};

/// TLS 1.2 and later. With `client_ca_file`, only clients with a certificate that one of its authorities has signed get in. Throws, naming
/// the file and OpenSSL's reason, if they do not fit together.
std::shared_ptr<TlsContext> load_tls(const std::string& certificate_file, const std::string& key_file,
                                     const std::string& client_ca_file = {});

/// The descriptor is the loop's, see Descriptor.
class Transport {
 public:
  Transport(int fd, std::unique_ptr<TlsSession> tls) : fd_(fd), tls_(std::move(tls)) {}
  IoResult read(char* to, size_t bytes);
  /// Takes what fits of the parts, in order, by one system call.
  IoResult write(std::span<const std::string_view> parts);
  void shut_writing();

 private:
  int fd_;
  std::unique_ptr<TlsSession> tls_;
};

}  // namespace infernum::server
