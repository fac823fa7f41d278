// StepRunner<Backend, Net>: runs a network on the batch of one step, from host numbers to host logits. On CUDA decode steps of one shape
// are recorded once and replayed.
#pragma once
#include <bit>
#include <list>
#include <optional>

#include "backends/cpu/transfer.h"
#include "backends/cuda/graph.h"
#include "backends/cuda/op_clock.h"
#include "backends/cuda/transfer.h"
#include "models/model.h"
#include "ops/batch.h"

namespace infernum {

inline int64_t longest_context(const HostBatch& b) {
  int32_t last = -1;
  for (const int32_t p : b.positions) last = std::max(last, p);
  return last + int64_t{1};
}

template <class B, class Net>
class StepRunner {
 public:
  /// Forgets what was recorded: the states have moved.
  void reset() {}

  std::vector<float> operator()(Device<B>& device, const Net& net, const std::vector<LayerState<B>>& states, const HostBatch& b) {
    const auto ints = [&](const std::vector<int32_t>& values) { return from_host(device, {static_cast<int64_t>(values.size())}, values); };
    const auto sequences = static_cast<int64_t>(b.query_start.size()) - 1;
    Batch<B> batch{ints(b.ids), ints(b.positions), ints(b.query_start), {}, ints(b.out_rows), longest_context(b)};
    for (const auto& table : b.block_tables)
      batch.block_tables.push_back(from_host(device, {sequences, static_cast<int64_t>(table.size()) / sequences}, table));
    return to_host(*device.queue, net(batch, states).view());
  }
};

/// What a recorded step depends on: everything that grids are sized by.
struct StepShape {
  int64_t tokens = 0, sequences = 0, rows = 0, context = 0;  ///< rows: of logits; context: rounded up
  std::vector<int64_t> table_widths;                         ///< of each block table, rounded up
  friend bool operator==(const StepShape&, const StepShape&) = default;

  bool decode() const { return tokens == sequences; }
};

/// Contexts and tables grow in powers of two from here, so that few steps of a growing sequence have a new shape.
inline constexpr int64_t smallest_context = 256;

inline StepShape shape_of(const HostBatch& b) {
  const auto up = [](int64_t n, int64_t least) { return std::max(least, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n)))); };
  StepShape s{static_cast<int64_t>(b.ids.size()),
              static_cast<int64_t>(b.query_start.size()) - 1,
              static_cast<int64_t>(b.out_rows.size()),
              up(longest_context(b), smallest_context),
              {}};
  for (const auto& table : b.block_tables)
    s.table_widths.push_back(up(static_cast<int64_t>(table.size()) / s.sequences, smallest_context / block_tokens));
  return s;
}

/// The numbers of a step in one piece of device memory that is filled by one copy.
class StepInput {
 public:
  StepInput(Device<Cuda>& device, const StepShape& shape);
  /// Tables are padded with -1 to the widths of the shape.
  void fill(Queue<Cuda>& queue, const HostBatch& b);
  const Batch<Cuda>& batch() const { return *batch_; }

 private:
  StepShape shape_;
  int64_t count_ = 0;
  std::shared_ptr<void> pinned_, device_;
  std::optional<Batch<Cuda>> batch_;
};

template <class Net>
class StepRunner<Cuda, Net> {
 public:
  void reset() { recorded_.clear(); }

  std::vector<float> operator()(Device<Cuda>& device, const Net& net, const std::vector<LayerState<Cuda>>& states, const HostBatch& b) {
    Queue<Cuda>& queue = *device.queue;
    queue.bind();
    const bool watched = device.observer || device.op_observer || device.op_timer;
    if (device.op_timer) queue.op_clock().start(queue);
    Recorded& step = find(device, shape_of(b));
    step.input.fill(queue, b);
    // A shape may come once only, and running it fills the pool for the recording.
    const bool replayed = step.shape.decode() && !watched && step.uses++ > 0;
    if (!replayed) {
      auto logits = to_host(queue, net(step.input.batch(), states).view());
      if (device.op_timer) queue.op_clock().report(queue, device.op_timer);
      return logits;
    }
    if (!step.graph.recorded()) step.graph.record(queue, [&] { step.logits.emplace(net(step.input.batch(), states)); });
    step.graph.launch(queue);
    return to_host(queue, step.logits->view());
  }

 private:
  struct Recorded {
    StepShape shape;
    StepInput input;
    std::optional<Tensor<Cuda>> logits;  ///< of the recording
    CudaGraph graph;
    int64_t uses = 0;
    Recorded(Device<Cuda>& device, const StepShape& s) : shape(s), input(device, s) {}
  };
  static constexpr size_t most_recorded = 128;

  /// The step of this shape, the most recently used one first. The least recently used one goes when there are too many.
  Recorded& find(Device<Cuda>& device, const StepShape& shape) {
    auto it = std::find_if(recorded_.begin(), recorded_.end(), [&](const Recorded& r) { return r.shape == shape; });
    if (it != recorded_.end()) {
      recorded_.splice(recorded_.begin(), recorded_, it);
    } else {
      if (recorded_.size() == most_recorded) recorded_.pop_back();
      recorded_.emplace_front(device, shape);
    }
    return recorded_.front();
  }

  /// A recording writes activations to memory that it gave back to the pool, so others may hold it in between. Of what the pool lends,
  /// only inputs and logits outlive a step, and each is written anew by the step that reads it.
  std::list<Recorded> recorded_;
};

}  // namespace infernum
