// The I/O thread: work posted to it, timers, and file descriptors that become ready.
#pragma once
#include <memory>

#include "server/http.h"

namespace infernum::server {

/// Told when a descriptor is ready, once per wait.
class Ready {
 public:
  virtual ~Ready() = default;
  virtual void on_readable() = 0;
  virtual void on_writable() = 0;
};

/// A descriptor of the loop. Destroying it closes the descriptor and forgets the waits.
class Descriptor {
 public:
  virtual ~Descriptor() = default;
  virtual void wait_readable() = 0;
  virtual void wait_writable() = 0;
};

class EventLoop final : public IoLoop {
 public:
  EventLoop();
  ~EventLoop() override;
  /// Until stop().
  void run();
  /// What is ready now, without waiting; for tests.
  void poll();
  /// From any thread.
  void stop();
  /// Work posted by other threads between two turns of the loop costs one wake-up in all.
  void post(std::function<void()> work) override;
  std::unique_ptr<Timer> after(double seconds, std::function<void()> work) override;
  /// Takes `fd`, which must not block, over. `ready` must outlive the result.
  std::unique_ptr<Descriptor> watch(int fd, Ready& ready);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace infernum::server
