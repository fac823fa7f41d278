// OfflineRun against an engine of known times: it keeps the concurrency, and its figures are those of the bills.
#include "server/load/offline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "core/check.h"

namespace infernum::load {
namespace {

/// Ends every request on a thread of its own, after `step` seconds per token.
class TimedEngine : public Engine {
 public:
  TimedEngine(double step, size_t most) : step_(step), most_(most), thread_([this] { loop(); }) {}
  ~TimedEngine() override { stop(); }
  const EngineInfo& info() const override { return info_; }
  void on_step(std::function<void(std::vector<EngineEvent>)> handler) override { handler_ = std::move(handler); }
  Admission submit(RequestId id, EngineRequest request) override {
    std::lock_guard lock(mutex_);
    if (work_.size() >= most_) return Admission::QueueFull;
    work_.push_back({id, std::move(request), 0});
    peak = std::max(peak, work_.size());
    return Admission::Accepted;
  }
  void cancel(RequestId) override {}
  EngineStats stats() const override { return {}; }
  void stop() override {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }
  size_t peak = 0;

 private:
  struct Work {
    RequestId id;
    EngineRequest request;
    int64_t done;
  };
  void loop() {
    while (!stopping_) {
      std::this_thread::sleep_for(std::chrono::duration<double>(step_));
      std::vector<EngineEvent> events;
      {
        std::lock_guard lock(mutex_);
        for (Work& w : work_) {
          EngineEvent event;
          event.request = w.id;
          if (++w.done == w.request.max_tokens) event.end = end_of(w);
          events.push_back(std::move(event));
        }
        std::erase_if(work_, [](const Work& w) { return w.done == w.request.max_tokens; });
      }
      if (!events.empty()) handler_(std::move(events));
    }
  }
  RequestEnd end_of(const Work& w) const {
    RequestEnd end;
    end.reason = w.request.priority < 0 ? EndReason::Fault : EndReason::Length;
    end.message = "as asked for";
    end.bill.prefill_seconds = step_;
    end.bill.decode_seconds = step_ * static_cast<double>(w.done - 1);
    end.bill.prompt_tokens = static_cast<int64_t>(w.request.prompt.size());
    end.bill.generated_tokens = w.done;
    return end;
  }
  const double step_;
  const size_t most_;
  EngineInfo info_;
  std::function<void(std::vector<EngineEvent>)> handler_;
  std::mutex mutex_;
  std::vector<Work> work_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

std::vector<EngineRequest> requests(size_t n, int64_t tokens) {
  EngineRequest request;
  request.prompt = {1, 2, 3, 4};
  request.max_tokens = tokens;
  return std::vector<EngineRequest>(n, request);
}

TEST(OfflineRun, KeepsTheConcurrencyAndAddsTheBills) {
  TimedEngine engine(0.002, 100);
  OfflineRun offline(engine);
  const OfflineFigures figures = offline.run(requests(10, 5), 3);
  EXPECT_EQ(engine.peak, 3u);
  EXPECT_EQ(figures.requests, 10u);
  EXPECT_EQ(figures.failed, 0u);
  EXPECT_EQ(figures.prompt_tokens, 40);
  EXPECT_EQ(figures.generated_tokens, 50);
  EXPECT_GE(figures.seconds, 0.002 * 5 * 4 * 0.9);  // four groups of three
  EXPECT_DOUBLE_EQ(figures.generated_tokens_per_second, 50 / figures.seconds);
  EXPECT_DOUBLE_EQ(figures.ttft.p50, 0.002);
  EXPECT_DOUBLE_EQ(figures.decode_seconds_per_token.p99, 0.002);
  EXPECT_EQ(offline.run(requests(2, 1), 8).generated_tokens, 2);  // again, as after a warm-up
}

TEST(OfflineRun, CountsFailuresApart) {
  TimedEngine engine(0.001, 100);
  OfflineRun offline(engine);
  auto some = requests(4, 2);
  some[1].priority = -1;
  const OfflineFigures figures = offline.run(some, 4);
  EXPECT_EQ(figures.failed, 1u);
  EXPECT_EQ(figures.failure, "as asked for");
  EXPECT_EQ(figures.generated_tokens, 6);
}

TEST(OfflineRun, SaysThatTheEngineRefuses) {
  TimedEngine engine(0.5, 2);
  OfflineRun offline(engine);
  EXPECT_THROW(offline.run(requests(3, 1), 3), Error);
  EXPECT_THROW(offline.run(requests(3, 1), 0), Error);
  engine.stop();
}

}  // namespace
}  // namespace infernum::load
