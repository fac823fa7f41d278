// Queue<Trace>: records what a model does instead of doing it. Every op of ops/kernels.h is traced by one template.
#pragma once
#include <concepts>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/shape.h"
#include "core/view.h"

namespace infernum {

/// FLOPs and bytes moved by one op, as its tag estimates them.
struct Cost {
  double flops = 0;
  double bytes = 0;
};

/// An activation, input, cache or weight of the graph.
struct TraceValue {
  std::string name;  ///< weights and inputs; empty for activations
  Shape shape;       ///< this rank's part
  DType dtype = DType::F32;
  enum class Kind { Activation, Input, Weight, Cache } kind = Kind::Activation;
  int64_t bytes() const { return bytes_of(dtype, shape.elements()); }
};

struct TraceNode {
  std::string op;
  std::string scope;                 ///< "block/" for the parts of a block
  std::vector<int> inputs, outputs;  ///< indices into TraceGraph::values
  Cost cost;
};

struct TraceGraph {
  std::vector<TraceValue> values;
  std::vector<TraceNode> nodes;
  int64_t peak_activation_bytes = 0;
};

template <>
struct Queue<Trace> {
  TraceGraph graph;
  std::string scope;
  TraceValue::Kind kind = TraceValue::Kind::Activation;  ///< of what is allocated next
  std::string next_name;                                 ///< its name, if any

  /// Index of the value whose address range holds `address`.
  int value_at(const void* address) const;

  struct Ledger {
    int64_t live = 0, peak = 0;
  };
  std::shared_ptr<Ledger> ledger = std::make_shared<Ledger>();  ///< bytes of activations alive; outlives the queue through its tensors
  std::map<uintptr_t, int> by_address;                          ///< addresses are made up, never reused and never read
  uintptr_t next_address = 4096;
};

std::shared_ptr<void> allocate(Queue<Trace>& queue, const Shape& shape, DType dtype);

/// Restores the scope when it goes.
class TraceScope {
 public:
  TraceScope(Queue<Trace>& queue, std::string_view name) : queue_(queue), before_(queue.scope.size()) {
    queue.scope += std::string(name) + "/";
  }
  ~TraceScope() { queue_.scope.resize(before_); }
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

 private:
  Queue<Trace>& queue_;
  size_t before_;
};
inline TraceScope enter_scope(Queue<Trace>& queue, std::string_view name) { return {queue, name}; }

template <class Op>
concept Primitive = !requires {
  &Op::is_block;
};

void record(Queue<Trace>& queue, std::string_view op, const std::vector<View<Trace>>& views, int outputs, Cost cost);

template <Primitive Op, class... A>
requires(requires { Op::name; }) void kernel(Op, Queue<Trace>& queue, const View<Trace>& first, const A&... rest) {
  std::vector<View<Trace>> views{first};
  double bytes = static_cast<double>(first.bytes());
  [[maybe_unused]] const auto add = [&](const auto& a) {
    if constexpr (std::same_as<std::decay_t<decltype(a)>, std::span<const View<Trace>>>)
      views.push_back(a.front());  // one value of the graph
    if constexpr (std::same_as<std::decay_t<decltype(a)>, View<Trace>>)
      if (a.data) {
        views.push_back(a);
        bytes += static_cast<double>(a.bytes());
      }
  };
  (add(rest), ...);
  int outputs = 1;
  if constexpr (requires { Op::outputs; }) outputs = Op::outputs;
  Cost cost{static_cast<double>(first.elements()), bytes};
  if constexpr (requires { Op::cost(first, rest...); }) {
    const auto [f, b] = Op::cost(first, rest...);
    cost = {f, b};
  }
  record(queue, Op::name, views, outputs, cost);
}

}  // namespace infernum
