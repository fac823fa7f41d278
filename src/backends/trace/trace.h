// Queue<Trace>: records what a model does instead of doing it. Every op of ops/kernels.h is traced by one template.
#pragma once
#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "backends/cpu/queue.h"
#include "backends/cuda/queue.h"
#include "core/build.h"
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

/// An argument of a kernel that is memory: part of a value, or a list of matrices that are one value.
struct TraceArgument {
  int value = -1;      ///< index into TraceGraph::values; -1: an empty view
  int64_t offset = 0;  ///< bytes behind the value's first
  int64_t list = 0;    ///< matrices; 0: a single view
  View<Trace> view;    ///< sizes, stride and dtype, of a list's first matrix; its address means nothing
};

/// What stands for a TraceArgument when the call is made on a backend: a view or a list of views.
template <class B>
struct ReplayArgument {
  View<B> view;
  std::span<const View<B>> list;
};
/// The recorded call on a backend, its scalars as they were; one argument for each TraceArgument.
template <class B>
using Replay = std::function<void(Queue<B>&, std::span<const ReplayArgument<B>>)>;

struct TraceNode {
  std::string op;
  std::string scope;                 ///< "block/" for the parts of a block
  std::vector<int> inputs, outputs;  ///< indices into TraceGraph::values
  Cost cost;
  std::vector<TraceArgument> arguments;  ///< outputs first
  Replay<Cpu> on_cpu;                    ///< empty: the backend has no such kernel
  Replay<Cuda> on_cuda;

  bool runs_on(bool cuda) const { return cuda ? static_cast<bool>(on_cuda) : static_cast<bool>(on_cpu); }
};

/// The fused form of a block, in place of the nodes first .. last - 1.
struct TraceBlock {
  TraceNode fused;
  size_t first = 0, last = 0;
};

struct TraceGraph {
  std::vector<TraceValue> values;
  std::vector<TraceNode> nodes;
  std::vector<TraceBlock> blocks;  ///< in the order of their ends
  int64_t peak_activation_bytes = 0;
};

/// What a backend runs, in order: the fused form of every block that has one there, unless `fusion` is off, and the nodes outside.
std::vector<const TraceNode*> executed_nodes(const TraceGraph& graph, bool cuda, bool fusion);

template <>
struct Queue<Trace> {
  TraceGraph graph;
  std::string scope;
  TraceValue::Kind kind = TraceValue::Kind::Activation;  ///< of what is allocated next
  std::string next_name;                                 ///< its name, if any

  /// Index of the value whose address range holds `address`.
  int value_at(const void* address) const;
  TraceArgument argument(const View<Trace>& view, int64_t list) const;

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

/// What stands for an argument of type T of a traced call on backend B.
template <class B, class T>
auto replayed(const T& argument, std::span<const ReplayArgument<B>>& rest) {
  if constexpr (std::same_as<T, View<Trace>> || std::same_as<T, std::span<const View<Trace>>>) {
    const ReplayArgument<B>& next = rest.front();
    rest = rest.subspan(1);
    if constexpr (std::same_as<T, View<Trace>>)
      return next.view;
    else
      return next.list;
  } else {
    return argument;
  }
}

/// Empty where the backend has no kernel for the call.
template <class B, class Op, class... A>
Replay<B> make_replay(const A&... arguments) {
  using Arguments = std::tuple<decltype(replayed<B>(arguments, std::declval<std::span<const ReplayArgument<B>>&>()))...>;
  constexpr bool callable = []<class... R>(const std::tuple<R...>*) {
    return requires(Queue<B> & queue, const R&... r) { kernel(Op{}, queue, r...); };
  }(static_cast<const Arguments*>(nullptr));
  if constexpr (callable)
    return [arguments...](Queue<B>& queue, std::span<const ReplayArgument<B>> views) {
      const Arguments all{replayed<B>(arguments, views)...};  // in order: braces
      std::apply([&](const auto&... a) { kernel(Op{}, queue, a...); }, all);
    };
  else
    return nullptr;
}

/// An argument of a node that is memory; others are none of the graph's.
void add_argument(TraceNode& node, const Queue<Trace>& queue, const View<Trace>& view);
void add_argument(TraceNode& node, const Queue<Trace>& queue, std::span<const View<Trace>> list);
template <class T>
void add_argument(TraceNode&, const Queue<Trace>&, const T&) {}
/// The values of its arguments, the first `outputs` of which are outputs.
void name_values(TraceNode& node, int outputs);

/// A node of an op's name, arguments and calls, without a cost.
template <class Op, class... A>
TraceNode make_node(const Queue<Trace>& queue, int outputs, const A&... rest) {
  TraceNode node;
  node.op = Op::name;
  node.scope = queue.scope;
  node.on_cpu = make_replay<Cpu, Op>(rest...);
  if constexpr (has_cuda) node.on_cuda = make_replay<Cuda, Op>(rest...);
  (add_argument(node, queue, rest), ...);
  name_values(node, outputs);
  return node;
}

/// The cost of an op that tells none: an operation for every element of its output, every view once.
Cost plain_cost(const TraceNode& node);

template <Primitive Op, class... A>
requires(requires { Op::name; }) void kernel(Op, Queue<Trace>& queue, const View<Trace>& first, const A&... rest) {
  int outputs = 1;
  if constexpr (requires { Op::outputs; }) outputs = Op::outputs;
  TraceNode& node = queue.graph.nodes.emplace_back(make_node<Op>(queue, outputs, first, rest...));
  if constexpr (requires { Op::cost(first, rest...); }) {
    const auto [f, b] = Op::cost(first, rest...);
    node.cost = {f, b};
  } else {
    node.cost = plain_cost(node);
  }
}

/// Tells the graph what the fused form of a block is called with whose parts are the nodes from `first` on.
void add_block(Queue<Trace>& queue, size_t first, TraceNode fused);

}  // namespace infernum
