#include "backends/trace/trace.h"

#include <algorithm>
#include <set>

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

TraceArgument Queue<Trace>::argument(const View<Trace>& view, int64_t list) const {
  TraceArgument a{-1, 0, list, view};
  if (!view.data) return a;
  const auto after = by_address.upper_bound(reinterpret_cast<uintptr_t>(view.data));
  if (after == by_address.begin()) return a;
  a.value = std::prev(after)->second;
  a.offset = static_cast<int64_t>(reinterpret_cast<uintptr_t>(view.data) - std::prev(after)->first);
  return a;
}

void add_argument(TraceNode& node, const Queue<Trace>& queue, const View<Trace>& view) {
  node.arguments.push_back(queue.argument(view, 0));
}

void add_argument(TraceNode& node, const Queue<Trace>& queue, std::span<const View<Trace>> list) {
  node.arguments.push_back(queue.argument(list.front(), static_cast<int64_t>(list.size())));
}

void name_values(TraceNode& node, int outputs) {
  for (const TraceArgument& a : node.arguments)
    if (a.value >= 0) (static_cast<int>(node.outputs.size()) < outputs ? node.outputs : node.inputs).push_back(a.value);
}

Cost plain_cost(const TraceNode& node) {
  Cost cost{static_cast<double>(node.arguments.front().view.elements()), 0};
  for (const TraceArgument& a : node.arguments) cost.bytes += a.list ? 0 : static_cast<double>(a.view.bytes());
  return cost;
}

/// The fused form neither reads back what a part of it wrote nor writes what is no output of the whole.
void add_block(Queue<Trace>& queue, size_t first, TraceNode fused) {
  TraceGraph& graph = queue.graph;
  std::set<int> written;
  const auto bytes = [&](int value) { return static_cast<double>(graph.values[static_cast<size_t>(value)].bytes()); };
  for (size_t i = first; i < graph.nodes.size(); i++) {
    const TraceNode& part = graph.nodes[i];
    fused.cost.flops += part.cost.flops;
    fused.cost.bytes += part.cost.bytes;
    for (const int v : part.inputs)
      if (written.count(v)) fused.cost.bytes -= bytes(v);
    for (const int v : part.outputs) {
      const bool lasts = graph.values[static_cast<size_t>(v)].kind != TraceValue::Kind::Activation ||
                         std::find(fused.outputs.begin(), fused.outputs.end(), v) != fused.outputs.end();
      if (!lasts) fused.cost.bytes -= bytes(v);
      if (graph.values[static_cast<size_t>(v)].kind == TraceValue::Kind::Activation) written.insert(v);
    }
  }
  graph.blocks.push_back({std::move(fused), first, graph.nodes.size()});
}

std::vector<const TraceNode*> executed_nodes(const TraceGraph& graph, bool cuda, bool fusion) {
  std::vector<const TraceNode*> list;
  for (size_t i = 0; i < graph.nodes.size();) {
    const TraceBlock* outermost = nullptr;
    if (fusion)
      for (const TraceBlock& b : graph.blocks)
        if (b.first == i && b.last > i && b.fused.runs_on(cuda) && (!outermost || b.last > outermost->last)) outermost = &b;
    list.push_back(outermost ? &outermost->fused : &graph.nodes[i]);
    i = outermost ? outermost->last : i + 1;
  }
  return list;
}

}  // namespace infernum
