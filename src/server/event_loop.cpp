#include "server/event_loop.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <mutex>

namespace infernum::server {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

/// Outlives its handle until the waits under way have been told off.
struct WatchState {
  asio::posix::stream_descriptor descriptor;
  Ready* ready;
  WatchState(asio::io_context& context, int fd, Ready& target) : descriptor(context, fd), ready(&target) {}
};

class Watch final : public Descriptor {
 public:
  Watch(asio::io_context& context, int fd, Ready& ready) : state_(std::make_shared<WatchState>(context, fd, ready)) {}
  ~Watch() override {
    state_->ready = nullptr;
    error_code ignored;
    state_->descriptor.close(ignored);
  }
  void wait_readable() override {
    state_->descriptor.async_wait(asio::posix::descriptor_base::wait_read, [state = state_](error_code) {
      if (state->ready) state->ready->on_readable();
    });
  }
  void wait_writable() override {
    state_->descriptor.async_wait(asio::posix::descriptor_base::wait_write, [state = state_](error_code) {
      if (state->ready) state->ready->on_writable();
    });
  }

 private:
  std::shared_ptr<WatchState> state_;
};

class SteadyTimer final : public IoLoop::Timer {
 public:
  SteadyTimer(asio::io_context& context, double seconds, std::function<void()> work)
      : timer_(context, std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(seconds))),
        alive_(std::make_shared<bool>(true)) {
    timer_.async_wait([alive = alive_, work = std::move(work)](error_code error) {
      if (*alive && !error) work();
    });
  }
  ~SteadyTimer() override { *alive_ = false; }

 private:
  asio::steady_timer timer_;
  std::shared_ptr<bool> alive_;
};

}  // namespace

struct EventLoop::Impl {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard{context.get_executor()};
  std::mutex mutex;
  std::vector<std::function<void()>> posted;  ///< a non-empty one has been announced to `context`
  std::vector<std::function<void()>> running;

  void run_posted() {
    {
      std::lock_guard lock(mutex);
      running.swap(posted);
    }
    for (auto& work : running) work();
    running.clear();
  }
};

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {}
EventLoop::~EventLoop() = default;

void EventLoop::run() { impl_->context.run(); }
void EventLoop::poll() { impl_->context.poll(); }
void EventLoop::stop() { impl_->context.stop(); }

void EventLoop::post(std::function<void()> work) {
  bool first = false;
  {
    std::lock_guard lock(impl_->mutex);
    first = impl_->posted.empty();
    impl_->posted.push_back(std::move(work));
  }
  if (first) asio::post(impl_->context, [impl = impl_.get()] { impl->run_posted(); });
}

std::unique_ptr<IoLoop::Timer> EventLoop::after(double seconds, std::function<void()> work) {
  return std::make_unique<SteadyTimer>(impl_->context, seconds, std::move(work));
}

std::unique_ptr<Descriptor> EventLoop::watch(int fd, Ready& ready) { return std::make_unique<Watch>(impl_->context, fd, ready); }

}  // namespace infernum::server
