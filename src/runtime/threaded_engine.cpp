#include "runtime/threaded_engine.h"

#include <utility>

#include "core/check.h"
#include "core/device_error.h"
#include "core/log.h"

namespace infernum {

EngineEvent& EventBatch::of(RequestId id) {
  if (events_.empty() || events_.back().request != id || events_.back().end) events_.push_back({id, {}, {}, {}});
  return events_.back();
}

Ticket::~Ticket() {
  if (batch_) end({EndReason::Fault, "the engine lost this request", {}});
}

void Ticket::end(RequestEnd end) {
  EventBatch* batch = std::exchange(batch_, nullptr);
  check(batch != nullptr, "engine: a request ends once");
  batch->of(id_).end = std::move(end);
  batch->ended++;
}

ThreadedEngine::ThreadedEngine(EngineInfo info, int64_t max_in_flight, Faults faults)
    : info_(info), max_in_flight_(max_in_flight), faults_(std::move(faults)) {
  heartbeat_ = std::chrono::steady_clock::now().time_since_epoch().count();
}

void ThreadedEngine::start() {
  thread_ = std::thread([this] { main(); });
}

void ThreadedEngine::on_step(std::function<void(std::vector<EngineEvent>)> handler) {
  std::lock_guard lock(mutex_);
  check(accepted_ == 0, "engine: the handler is set before the first request");
  handler_ = std::move(handler);
}

Admission ThreadedEngine::submit(RequestId id, EngineRequest request) {
  check_engine_request(request, info_);
  {
    std::lock_guard lock(mutex_);
    if (closed_) return Admission::Stopped;
    const bool refused = faults_.at(Faults::Place::Submit, ++submitted_, Faults::Action::Full);
    if (refused || static_cast<int64_t>(accepted_) - ended_ >= max_in_flight_) return Admission::QueueFull;
    inbox_.arrivals.push_back({id, std::move(request), std::chrono::steady_clock::now(), ++accepted_});
  }
  arrived_.notify_one();
  return Admission::Accepted;
}

void ThreadedEngine::cancel(RequestId id) {
  {
    std::lock_guard lock(mutex_);
    if (closed_ || static_cast<int64_t>(accepted_) == ended_) return;
    inbox_.cancelled.push_back(id);
  }
  arrived_.notify_one();
}

ThreadedEngine::Inbox ThreadedEngine::take(SteadyTime until) {
  const auto now = std::chrono::steady_clock::now();
  heartbeat_ = now.time_since_epoch().count();
  std::unique_lock lock(mutex_);
  const auto something = [&] { return inbox_.stopping || !inbox_.arrivals.empty() || !inbox_.cancelled.empty(); };
  if (until > now) arrived_.wait_until(lock, until, something);
  const bool stopping = inbox_.stopping;
  Inbox taken = std::exchange(inbox_, {});
  taken.stopping = inbox_.stopping = stopping;
  return taken;
}

void ThreadedEngine::publish() {
  heartbeat_ = std::chrono::steady_clock::now().time_since_epoch().count();
  {
    std::lock_guard lock(mutex_);
    shown_ = counts_;
    ended_ = events_.ended;
  }
  if (events_.empty()) return;
  auto batch = events_.take();
  for (const EngineEvent& e : batch)
    if (e.end && !e.end->cause.empty()) log_warning("engine: a request ends: " + e.end->cause);
  if (!handler_) return;
  try {
    handler_(std::move(batch));
  } catch (const std::exception& e) {
    log_warning(std::string("engine: the receiver of events threw: ") + e.what());
  }
}

EngineStats ThreadedEngine::stats() const {
  std::lock_guard lock(mutex_);
  EngineStats s = shown_;
  s.waiting = static_cast<int64_t>(accepted_) - ended_ - s.running;
  s.heartbeat = SteadyTime(SteadyTime::duration(heartbeat_.load()));
  return s;
}

void ThreadedEngine::stop() {
  {
    std::lock_guard lock(mutex_);
    inbox_.stopping = true;
  }
  arrived_.notify_one();
  std::lock_guard lock(joining_);
  if (thread_.joinable()) thread_.join();
}

void ThreadedEngine::main() {
  EndReason reason = EndReason::Shutdown;
  std::string message = client_message(reason);
  try {
    loop();
  } catch (const DeviceLost& e) {
    log_warning(std::string("engine: its device was lost: ") + e.what());
    reason = EndReason::DeviceLost, message = client_message(reason) + ": " + e.reason();
  } catch (const std::exception& e) {
    log_warning(std::string("engine: failed: ") + e.what());
    reason = EndReason::Fault, message = "the engine failed";
  }
  Inbox rest;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;  // nothing is accepted from here on, so nothing is left behind
    rest = std::exchange(inbox_, {});
  }
  end_all(reason, message);
  for (const Arrival& a : rest.arrivals) Ticket(events_, a.id).end({reason, message, {}});
  counts_.state = reason == EndReason::Shutdown ? EngineState::Stopped : EngineState::Failed;
  counts_.running = 0;
  counts_.cache_blocks_used = 0;
  publish();
}

}  // namespace infernum
