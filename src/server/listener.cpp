#include "server/listener.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/check.h"

namespace infernum::server {
namespace {

std::string address_text(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text, sizeof text);
  } else if (address.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, text, sizeof text);
    if (std::strncmp(text, "::ffff:", 7) == 0) return text + 7;
  }
  return text;
}

bool is_loopback(const addrinfo& info) {
  if (info.ai_family == AF_INET) return (ntohl(reinterpret_cast<const sockaddr_in*>(info.ai_addr)->sin_addr.s_addr) >> 24) == 127;
  const in6_addr& address = reinterpret_cast<const sockaddr_in6*>(info.ai_addr)->sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&address);
}

int port_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

int open_one(const addrinfo& info, const std::string& host, int port) {
  const int fd = socket(info.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (info.ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  sockaddr_storage address{};
  std::memcpy(&address, info.ai_addr, info.ai_addrlen);
  if (info.ai_family == AF_INET6)
    reinterpret_cast<sockaddr_in6&>(address).sin6_port = htons(static_cast<uint16_t>(port));
  else
    reinterpret_cast<sockaddr_in&>(address).sin_port = htons(static_cast<uint16_t>(port));
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), info.ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0) return fd;
  const std::string reason = std::strerror(errno);
  ::close(fd);
  fail("cannot listen here (another server may be running; --port chooses another port)", host, port, reason);
}

}  // namespace

Listener::Listener(EventLoop& loop, int fd, Accepted accepted)
    : fd_(fd), accepted_(std::move(accepted)), descriptor_(loop.watch(fd, *this)) {
  resume();
}

void Listener::resume() {
  if (waiting_) return;
  waiting_ = true;
  descriptor_->wait_readable();
}

void Listener::on_readable() {
  waiting_ = false;
  for (int i = 0; i < 64; i++) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    const int fd = accept4(fd_, reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      // Without a free descriptor the socket stays ready: wait for the next resume() instead of spinning.
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) return;
      if (errno == ECONNABORTED || errno == EINTR) continue;
      break;
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    accepted_(fd, address_text(address));
  }
  resume();
}

ListeningSockets open_listening_sockets(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  std::string name = host;
  if (name.size() > 2 && name.front() == '[' && name.back() == ']') name = name.substr(1, name.size() - 2);
  const int error = getaddrinfo(name.c_str(), nullptr, &hints, &found);
  check(error == 0 && found, "there is no such address to listen on", host, error ? gai_strerror(error) : "none");
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> list(found, &freeaddrinfo);
  ListeningSockets sockets;
  sockets.port = port;
  try {
    for (const addrinfo* info = list.get(); info; info = info->ai_next) {
      if (info->ai_family != AF_INET && info->ai_family != AF_INET6) continue;
      const int fd = open_one(*info, host, sockets.port);
      if (fd < 0) continue;  // a machine without IPv6
      sockets.descriptors.push_back(fd);
      sockets.port = port_of(fd);
      sockets.loopback = sockets.loopback && is_loopback(*info);
    }
    check(!sockets.descriptors.empty(), "cannot listen here", host, port, std::strerror(errno));
  } catch (...) {
    for (const int fd : sockets.descriptors) ::close(fd);
    throw;
  }
  return sockets;
}

}  // namespace infernum::server
