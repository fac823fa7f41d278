// StepInput: where the numbers of a step lie on the device.
#include <algorithm>

#include "models/step_runner.h"

namespace infernum {

StepInput::StepInput(Device<Cuda>& device, const StepShape& s) : shape_(s) {
  count_ = 2 * s.tokens + s.sequences + 1 + s.rows;
  for (const int64_t width : s.table_widths) count_ += s.sequences * width;
  const int64_t bytes = bytes_of(DType::I32, count_);
  pinned_ = allocate_pinned(*device.queue, bytes);
  device_ = device.queue->memory.allocate(bytes);
  auto* next = static_cast<int32_t*>(device_.get());
  const auto take = [&](const Shape& shape) {
    Tensor<Cuda> t(device, shape, DType::I32, std::shared_ptr<void>(device_, next));
    next += shape.elements();
    return t;
  };
  // Braces evaluate from left to right: the order of fill().
  batch_.emplace(Batch<Cuda>{take({s.tokens}), take({s.tokens}), take({s.sequences + 1}), {}, take({s.rows}), s.context});
  for (const int64_t width : s.table_widths) batch_->block_tables.push_back(take({s.sequences, width}));
}

void StepInput::fill(Queue<Cuda>& queue, const HostBatch& b) {
  auto* next = static_cast<int32_t*>(pinned_.get());
  for (const auto* values : {&b.ids, &b.positions, &b.query_start, &b.out_rows}) next = std::copy(values->begin(), values->end(), next);
  for (size_t g = 0; g < b.block_tables.size(); g++) {
    const auto& table = b.block_tables[g];
    const int64_t width = static_cast<int64_t>(table.size()) / shape_.sequences;
    for (int64_t r = 0; r < shape_.sequences; r++) {
      next = std::copy_n(table.begin() + r * width, width, next);
      next = std::fill_n(next, shape_.table_widths[g] - width, -1);
    }
  }
  upload_pinned(queue, device_.get(), pinned_.get(), bytes_of(DType::I32, count_));
}

}  // namespace infernum
