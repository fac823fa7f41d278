#include "models/op_replay.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "core/check.h"

namespace infernum {
namespace {

/// Among how many rows or matrices the numbers choose: those of a list, or of the matrix that a node reads beside them.
int64_t choices(const TraceStep& step, const TraceNode& node) {
  for (const TraceArgument& a : node.arguments)
    if (a.list > 0) return a.list;
  for (const TraceArgument& a : node.arguments)
    if (a.value >= 0 && step.graph.values[static_cast<size_t>(a.value)].kind == TraceValue::Kind::Weight && a.view.rank == 2)
      return a.view.size[0];
  return 1;
}

}  // namespace

StoredTensor SyntheticOperands::weight(const std::string& name, const Shape& shape, DType dtype) {
  return sources_.try_emplace(dtype, dtype).first->second.read(name, shape);
}

std::vector<float> SyntheticOperands::numbers(int64_t n) const {
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  constexpr int64_t period = 65521;  // a prime, so that rows differ
  std::vector<float> values(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; i++) values[static_cast<size_t>(i)] = i < period ? normal(rng) : values[static_cast<size_t>(i - period)];
  return values;
}

std::vector<int32_t> whole_numbers(const TraceStep& step, const TraceNode& node, const TraceArgument& argument, int64_t turn) {
  const TraceValue& value = step.graph.values[static_cast<size_t>(argument.value)];
  const int64_t n = value.shape.elements();
  const auto of = [n](const auto& f) {
    std::vector<int32_t> numbers(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; i++) numbers[static_cast<size_t>(i)] = static_cast<int32_t>(f(i));
    return numbers;
  };
  if (value.name == "positions") return of([&](int64_t i) { return step.context - step.tokens + i; });
  if (value.name == "query_start") return of([&](int64_t i) { return i * step.tokens; });
  if (value.name == "out_rows") return of([&](int64_t i) { return step.tokens - n + i; });
  if (value.name == "block_table") return of([&](int64_t i) { return n - 1 - i; });
  const int64_t among = choices(step, node);
  check(value.name == "ids" || value.kind == TraceValue::Kind::Activation, "replay: whole numbers of an unknown meaning", node.op,
        value.name);
  if (value.name == "ids") return of([&](int64_t i) { return (turn * n + i) * 7919 % among; });
  return of([&](int64_t i) { return (turn * n + i) % among; });  // a token's experts are its own and follow one another
}

int64_t turns_through(const TraceNode& node, int64_t bytes, int64_t limit) {
  const double turns = std::ceil(static_cast<double>(bytes) / std::max(64., node.cost.bytes));
  return static_cast<int64_t>(std::clamp(turns, 1., static_cast<double>(limit)));
}

}  // namespace infernum
