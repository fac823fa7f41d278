// OpReplay<Backend>: one op of a traced step, made again on a backend with operands of its own, several of each in turn so that what was
// read last is in no cache.
#pragma once
#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "backends/cpu/transfer.h"
#include "formats/place.h"
#include "models/synthetic.h"
#include "models/trace_report.h"

namespace infernum {

/// Random weights and numbers, made once for all ops of a run.
class SyntheticOperands {
 public:
  StoredTensor weight(const std::string& name, const Shape& shape, DType dtype);
  /// Of a normal distribution.
  std::vector<float> numbers(int64_t n) const;

 private:
  std::map<DType, SyntheticSource> sources_;
};

/// What a node reads as a value of whole numbers: ids, positions, block tables, chosen experts. Differs from turn to turn where the op
/// reads other memory for other numbers.
std::vector<int32_t> whole_numbers(const TraceStep& step, const TraceNode& node, const TraceArgument& argument, int64_t turn);

/// So many turns touch `bytes` of memory by the node's cost, the last begun turn whole; at most `limit`.
int64_t turns_through(const TraceNode& node, int64_t bytes, int64_t limit);

template <class B>
class OpReplay {
 public:
  /// Operands for `turns` turns. A value larger than `cached_bytes` needs no copies: different turns read different parts of it, or all.
  OpReplay(Device<B>& device, const TraceStep& step, const TraceNode& node, SyntheticOperands& operands, int64_t turns,
           int64_t cached_bytes)
      : device_(device), node_(node), turns_(turns) {
    for (const TraceArgument& a : node.arguments) {
      if (a.value < 0 || rings_.count(a.value)) continue;
      const TraceValue& value = step.graph.values[static_cast<size_t>(a.value)];
      const int64_t copies =
          value.dtype == DType::I32 ? turns : std::clamp<int64_t>(cached_bytes / std::max<int64_t>(1, value.bytes()) + 1, 1, turns);
      std::vector<float> numbers;
      if (value.kind != TraceValue::Kind::Weight && value.dtype != DType::I32) numbers = operands.numbers(value.shape.elements());
      std::vector<Operand>& ring = rings_[a.value];
      for (int64_t turn = 0; turn < copies; turn++) ring.push_back(make(step, a, value, operands, numbers, turn));
    }
    for (int64_t turn = 0; turn < turns; turn++) prepare(turn);
  }

  int64_t turns() const { return turns_; }
  void run(int64_t turn) {
    const auto& arguments = prepared_[static_cast<size_t>(turn % turns_)];
    if constexpr (std::same_as<B, Cpu>)
      node_.on_cpu(*device_.queue, arguments);
    else
      node_.on_cuda(*device_.queue, arguments);
  }
  /// What stands for argument i in this turn.
  const View<B>& view(int64_t turn, size_t i) const { return prepared_[static_cast<size_t>(turn % turns_)][i].view; }

 private:
  struct Operand {
    std::optional<Tensor<B>> tensor;
    std::optional<Matrices<B>> list;
  };

  Operand make(const TraceStep& step, const TraceArgument& a, const TraceValue& value, SyntheticOperands& operands,
               const std::vector<float>& numbers, int64_t turn) {
    const bool product = is_gguf_block(value.dtype) && node_.op != "embed";
    if (a.list > 0) {
      std::vector<StoredTensor> list;
      for (int64_t e = 0; e < a.list; e++)
        list.push_back(operands.weight(value.name + std::to_string(turn * a.list + e), {a.view.size[0], a.view.size[1]}, value.dtype));
      return {std::nullopt, product ? place_blocks(device_, list) : place(device_, list)};
    }
    if (value.kind == TraceValue::Kind::Weight) {
      const StoredTensor t = operands.weight(value.name + std::to_string(turn), value.shape, value.dtype);
      return {product ? place_blocks(device_, t) : place(device_, t), std::nullopt};
    }
    if (value.dtype == DType::I32) return {from_host(device_, value.shape, whole_numbers(step, node_, a, turn)), std::nullopt};
    return {from_host(device_, value.shape, value.dtype, numbers), std::nullopt};
  }

  void prepare(int64_t turn) {
    std::vector<ReplayArgument<B>>& arguments = prepared_.emplace_back();
    for (const TraceArgument& a : node_.arguments) {
      ReplayArgument<B>& argument = arguments.emplace_back();
      if (a.value < 0) continue;
      const std::vector<Operand>& ring = rings_.at(a.value);
      const Operand& operand = ring[static_cast<size_t>(turn) % ring.size()];
      if (operand.list) {
        argument.list = operand.list->views();
        argument.view = argument.list.front();
        continue;
      }
      View<B>& v = argument.view;
      v.data = static_cast<std::byte*>(operand.tensor->storage().get()) + a.offset;
      std::copy(std::begin(a.view.size), std::end(a.view.size), v.size);
      v.stride = a.view.stride;
      v.rank = a.view.rank;
      v.dtype = operand.tensor->dtype();
    }
  }

  Device<B>& device_;
  const TraceNode& node_;
  int64_t turns_;
  std::map<int, std::vector<Operand>> rings_;  ///< of each value
  std::vector<std::vector<ReplayArgument<B>>> prepared_;
};

}  // namespace infernum
