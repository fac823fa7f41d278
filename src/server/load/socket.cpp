#include "server/load/socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "core/check.h"

namespace infernum::load {

Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

Socket connect_to(const Address& address) {
  Socket made(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (made.fd() < 0) return made;
  const int on = 1;
  ::setsockopt(made.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(made.fd(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) == 0 || errno == EINPROGRESS) return made;
  const int error = errno;
  made = Socket();
  errno = error;
  return Socket();
}

Address reachable_address(const std::string& host, const std::string& port) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  const int status = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  check(status == 0, "load client: cannot find host", host, gai_strerror(status));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, &::freeaddrinfo);
  int error = 0;
  for (const addrinfo* info = found; info; info = info->ai_next) {
    Address address;
    std::memcpy(&address.storage, info->ai_addr, info->ai_addrlen);
    address.size = info->ai_addrlen;
    const Socket socket = connect_to(address);
    error = errno;
    if (socket.fd() < 0) continue;
    pollfd ready{socket.fd(), POLLOUT, 0};
    error = ETIMEDOUT;
    if (::poll(&ready, 1, 5000) != 1) continue;
    socklen_t size = sizeof error;
    ::getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error == 0) return address;
  }
  fail("load client: cannot connect to", host, port, std::strerror(error));
}

}  // namespace infernum::load
