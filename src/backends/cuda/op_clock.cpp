#include "backends/cuda/op_clock.h"

namespace infernum {

void OpClock::start(Queue<Cuda>& queue) {
  queue.synchronize();
  used_ = 0;
  base_.record(queue);  // the device passes it at once
  host_base_ = std::chrono::steady_clock::now();
}

void OpClock::begin(Queue<Cuda>& queue, std::string_view op) {
  if (used_ == ops_.size()) ops_.push_back({op, {}, {}});
  ops_[used_].name = op;
  ops_[used_].begin.record(queue);
}

void OpClock::end(Queue<Cuda>& queue) { ops_[used_++].end.record(queue); }

void OpClock::report(const Queue<Cuda>& queue, const OpTimer& timer) {
  for (size_t i = 0; i < used_; i++) {
    const Op& op = ops_[i];
    const std::chrono::duration<double> after(op.begin.seconds_since(base_));
    timer({op.name, host_base_ + std::chrono::duration_cast<std::chrono::steady_clock::duration>(after), op.end.seconds_since(op.begin),
           queue.properties.ordinal});
  }
  used_ = 0;
}

}  // namespace infernum
