#include "server/load/offline.h"

#include <chrono>

#include "core/check.h"

namespace infernum::load {

OfflineRun::OfflineRun(Engine& engine) : engine_(engine) {
  engine.on_step([this](std::vector<EngineEvent> events) { take(std::move(events)); });
}

void OfflineRun::take(std::vector<EngineEvent> events) {
  // Told under the lock: whoever sees the last one may take all this down.
  std::lock_guard lock(mutex_);
  for (EngineEvent& event : events)
    if (event.end) ended_.push_back(std::move(*event.end));
  if (!ended_.empty()) ended_some_.notify_one();
}

OfflineFigures OfflineRun::run(const std::vector<EngineRequest>& requests, int concurrency) {
  check(concurrency >= 1, "offline run: at least one request at a time:", concurrency);
  const auto start = std::chrono::steady_clock::now();
  std::vector<RequestEnd> ends;
  size_t submitted = 0;
  while (ends.size() < requests.size()) {
    while (submitted < requests.size() && submitted - ends.size() < static_cast<size_t>(concurrency)) {
      check(engine_.submit(next_id_++, requests[submitted++]) == Admission::Accepted, "offline run: the engine refused request", submitted,
            "of", requests.size(), "at a concurrency of", concurrency);
    }
    std::unique_lock lock(mutex_);
    ended_some_.wait(lock, [this] { return !ended_.empty(); });
    for (RequestEnd& end : ended_) ends.push_back(std::move(end));
    ended_.clear();
  }
  OfflineFigures figures;
  figures.requests = requests.size();
  figures.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::vector<double> ttft, per_token;
  for (const RequestEnd& end : ends) {
    const RequestBill& bill = end.bill;
    figures.preemptions += bill.preemptions;
    if (end.reason != EndReason::Stop && end.reason != EndReason::Length) {
      if (figures.failed++ == 0) figures.failure = end.message;
      continue;
    }
    figures.prompt_tokens += bill.prompt_tokens;
    figures.cached_tokens += bill.cached_tokens;
    figures.generated_tokens += bill.generated_tokens;
    ttft.push_back(bill.queue_seconds + bill.prefill_seconds);
    if (bill.generated_tokens > 1) per_token.push_back(bill.decode_seconds / static_cast<double>(bill.generated_tokens - 1));
  }
  figures.ttft = spread(std::move(ttft));
  figures.decode_seconds_per_token = spread(std::move(per_token));
  if (figures.seconds > 0) {
    figures.prompt_tokens_per_second = static_cast<double>(figures.prompt_tokens) / figures.seconds;
    figures.generated_tokens_per_second = static_cast<double>(figures.generated_tokens) / figures.seconds;
    figures.total_tokens_per_second = figures.prompt_tokens_per_second + figures.generated_tokens_per_second;
  }
  return figures;
}

}  // namespace infernum::load
