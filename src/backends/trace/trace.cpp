#include "backends/trace/trace.h"

#include <algorithm>

namespace infernum {

std::shared_ptr<void> allocate(Queue<Trace>& queue, const Shape& shape, DType dtype) {
  const int64_t bytes = bytes_of(dtype, shape.elements());
  const bool activation = queue.kind == TraceValue::Kind::Activation;
  queue.by_address[queue.next_address] = static_cast<int>(queue.graph.values.size());
  queue.graph.values.push_back({queue.next_name, shape, dtype, queue.kind});
  auto* address = reinterpret_cast<void*>(queue.next_address);
  queue.next_address += static_cast<uintptr_t>(bytes / 64 + 1) * 64;
  if (!activation) return {address, [](void*) {}};
  auto& ledger = *queue.ledger;
  ledger.live += bytes;
  ledger.peak = std::max(ledger.peak, ledger.live);
  queue.graph.peak_activation_bytes = ledger.peak;
  return {address, [owner = queue.ledger, bytes](void*) { owner->live -= bytes; }};
}

int Queue<Trace>::value_at(const void* address) const {
  const auto after = by_address.upper_bound(reinterpret_cast<uintptr_t>(address));
  return after == by_address.begin() ? -1 : std::prev(after)->second;
}

void record(Queue<Trace>& queue, std::string_view op, const std::vector<View<Trace>>& views, int outputs, Cost cost) {
  TraceNode node{std::string(op), queue.scope, {}, {}, cost};
  for (const auto& v : views)
    (static_cast<int>(node.outputs.size()) < outputs ? node.outputs : node.inputs).push_back(queue.value_at(v.data));
  queue.graph.nodes.push_back(std::move(node));
}

}  // namespace infernum
