// What the operating system's side of a service asks for: signals as calls on the loop, and systemd's notifications.
#pragma once
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "server/event_loop.h"

namespace infernum::server {

/// Blocks the signals for this thread and those that it starts from here on, and takes them on the loop instead.
class SignalWatcher final : public Ready {
 public:
  SignalWatcher(EventLoop& loop, const std::vector<int>& signals, std::function<void(int)> handler);
  void on_readable() override;
  void on_writable() override {}

 private:
  int fd_;
  std::function<void(int)> handler_;
  std::unique_ptr<Descriptor> descriptor_;
};

/// Sends "READY=1" and the like to the manager that NOTIFY_SOCKET names. Without one, or if it does not listen, nothing happens.
void notify_service_manager(std::string_view state);

/// Seconds between signs of life that the manager wants (WATCHDOG_USEC, of this process), halved; 0: none.
double watchdog_interval();

}  // namespace infernum::server
