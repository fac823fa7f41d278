// Socket: a non-blocking TCP connection, closed with its owner; and the address to connect to.
#pragma once
#include <sys/socket.h>

#include <string>
#include <utility>

namespace infernum::load {

class Socket {
 public:
  explicit Socket(int fd = -1) : fd_(fd) {}
  ~Socket();
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

/// The first address of the host that takes a connection within 5 s. Throws, naming the last error, if none does.
Address reachable_address(const std::string& host, const std::string& port);

/// A connection that is being made; a negative fd where that failed at once (errno says why).
Socket connect_to(const Address& address);

}  // namespace infernum::load
