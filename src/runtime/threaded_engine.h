// ThreadedEngine: what engines with a thread of their own have in common: the queue in, the events out, the counts, and the end.
#pragma once
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "runtime/engine.h"
#include "runtime/faults.h"

namespace infernum {

/// The events of one step, in the order in which they happen.
class EventBatch {
 public:
  /// The event of this request, which is the last one that was asked for or a new one.
  EngineEvent& of(RequestId id);
  std::vector<EngineEvent> take() { return std::exchange(events_, {}); }
  bool empty() const { return events_.empty(); }
  int64_t ended = 0;  ///< requests, since the start

 private:
  std::vector<EngineEvent> events_;
};

/// The right to end a request: it is used once, and says Fault if it is dropped unused. Lives on the engine's thread.
class Ticket {
 public:
  Ticket(EventBatch& batch, RequestId id) : batch_(&batch), id_(id) {}
  ~Ticket();
  Ticket(Ticket&& other) noexcept : batch_(std::exchange(other.batch_, nullptr)), id_(other.id_) {}
  Ticket& operator=(Ticket&&) = delete;
  RequestId id() const { return id_; }
  void end(RequestEnd end);

 private:
  EventBatch* batch_;
  RequestId id_;
};

class ThreadedEngine : public Engine {
 public:
  const EngineInfo& info() const override { return info_; }
  void on_step(std::function<void(std::vector<EngineEvent>)> handler) override;
  Admission submit(RequestId id, EngineRequest request) override;
  void cancel(RequestId id) override;
  EngineStats stats() const override;
  void stop() override;

 protected:
  /// At most `max_in_flight` requests are accepted and not ended.
  ThreadedEngine(EngineInfo info, int64_t max_in_flight, Faults faults);
  /// The last act of a constructor. Its destructor has to stop().
  void start();

  struct Arrival {
    RequestId id;
    EngineRequest request;
    SteadyTime time;
    uint64_t number;  ///< of all accepted requests, from 1
  };
  struct Inbox {
    std::vector<Arrival> arrivals;
    std::vector<RequestId> cancelled;
    bool stopping = false;
  };
  /// What came since the last call; waits for it until then at most.
  Inbox take(SteadyTime until);
  /// Hands out the events of the step, and shows the counts.
  void publish();
  EventBatch& events() { return events_; }
  const Faults& faults() const { return faults_; }
  EngineStats& counts() { return counts_; }  ///< of the engine's thread; shown by publish()

  /// Works until take() says that it is stopping. What it throws is the end of the engine.
  virtual void loop() = 0;
  /// Ends every request that loop() has left, so.
  virtual void end_all(EndReason reason, const std::string& message) = 0;

 private:
  void main();

  EngineInfo info_;
  int64_t max_in_flight_;
  Faults faults_;
  std::function<void(std::vector<EngineEvent>)> handler_;
  EventBatch events_;
  EngineStats counts_;

  mutable std::mutex mutex_;  ///< of what follows
  std::condition_variable arrived_;
  Inbox inbox_;
  EngineStats shown_;
  bool closed_ = false;
  uint64_t submitted_ = 0, accepted_ = 0;
  int64_t ended_ = 0;

  std::atomic<int64_t> heartbeat_{0};  ///< steady_clock ticks
  std::mutex joining_;
  std::thread thread_;
};

}  // namespace infernum
