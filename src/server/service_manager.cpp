#include "server/service_manager.h"

#include <pthread.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/check.h"

namespace infernum::server {
namespace {

int open_signals(const std::vector<int>& signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  check(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0, "signals cannot be blocked");
  const int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  check(fd >= 0, "signals cannot be watched", std::strerror(errno));
  return fd;
}

}  // namespace

SignalWatcher::SignalWatcher(EventLoop& loop, const std::vector<int>& signals, std::function<void(int)> handler)
    : fd_(open_signals(signals)), handler_(std::move(handler)), descriptor_(loop.watch(fd_, *this)) {
  descriptor_->wait_readable();
}

void SignalWatcher::on_readable() {
  signalfd_siginfo info;
  while (read(fd_, &info, sizeof info) == sizeof info) handler_(static_cast<int>(info.ssi_signo));
  descriptor_->wait_readable();
}

void notify_service_manager(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  if (!path || (path[0] != '/' && path[0] != '@') || std::strlen(path) >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path, std::strlen(path));
  if (path[0] == '@') address.sun_path[0] = '\0';  // an abstract name
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
  (void)!sendto(fd, state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&address), size);
  close(fd);
}

double watchdog_interval() {
  const char* microseconds = std::getenv("WATCHDOG_USEC");
  const char* process = std::getenv("WATCHDOG_PID");
  if (!microseconds || (process && std::atol(process) != getpid())) return 0;
  return std::max(0., std::atof(microseconds) * 1e-6 / 2);
}

}  // namespace infernum::server
