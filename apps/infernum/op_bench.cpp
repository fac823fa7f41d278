#include "op_bench.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "backends/cuda/timed_work.h"
#include "core/build.h"
#include "models/op_replay.h"
#include "models/open_queue.h"

namespace infernum::app {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// "self_attn.q_proj" of "model.layers.3.self_attn.q_proj.weight", "mlp.experts.gate_proj" of that of any expert.
std::string short_name(const std::string& name) {
  std::vector<std::string> parts{""};
  for (const char c : name)
    if (c == '.')
      parts.emplace_back();
    else
      parts.back() += c;
  std::string text;
  for (const std::string& part : parts) {
    const bool number = part.find_first_not_of("0123456789") == std::string::npos;
    if (number || part == "model" || part == "layers" || part == "weight") continue;
    text += (text.empty() ? "" : ".") + part;
  }
  return text;
}

std::string key_of(const TraceGraph& graph, const TraceNode& node) {
  std::string key = node.op + describe(node.cost.flops) + " " + describe(node.cost.bytes);
  for (const TraceArgument& a : node.arguments) {
    key += ";";
    if (a.value < 0) continue;
    const TraceValue& value = graph.values[static_cast<size_t>(a.value)];
    key += describe(value.dtype) + std::to_string(static_cast<int>(value.kind)) + " " + std::to_string(a.list) + " " +
           std::to_string(a.view.stride);
    for (int i = 0; i < a.view.rank; i++) key += "x" + std::to_string(a.view.size[i]);
  }
  return key;
}

/// Names of the matrices among the arguments.
std::vector<std::string> matrices(const TraceGraph& graph, const TraceNode& node) {
  std::vector<std::string> names;
  for (const TraceArgument& a : node.arguments)
    if (a.value >= 0 && a.view.rank == 2 && graph.values[static_cast<size_t>(a.value)].kind == TraceValue::Kind::Weight)
      names.push_back(short_name(graph.values[static_cast<size_t>(a.value)].name));
  return names;
}

/// Several times the last cache, which all processors of a machine may share. A GPU's L2 holds 40 to 126 MiB.
template <class B>
int64_t beyond_caches() {
  if (std::same_as<B, Cuda>) return int64_t{320} << 20;
  const int64_t cache = std::max<int64_t>(sysconf(_SC_LEVEL3_CACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE));
  return std::clamp<int64_t>(4 * cache, int64_t{128} << 20, int64_t{512} << 20);
}

OpSample summary(std::vector<double> times, int64_t turns) {
  std::sort(times.begin(), times.end());
  const auto at = [&](double share) { return times[static_cast<size_t>(std::lround(share * static_cast<double>(times.size() - 1)))]; };
  return {at(0.5), at(0.25), at(0.75), static_cast<int64_t>(times.size()), turns};
}

constexpr size_t fewest_samples = 5, most_samples = 1000;

template <class B>
OpSample time_op(Device<B>& device, const OpCase& c, SyntheticOperands& operands, double seconds) {
  constexpr bool cuda = std::same_as<B, Cuda>;
  constexpr int64_t most_turns = cuda ? 1024 : 16384;
  const int64_t bytes = beyond_caches<B>();
  OpReplay<B> replay(device, *c.step, *c.node, operands, turns_through(*c.node, bytes, most_turns), bytes);
  int64_t next = 0, calls = replay.turns();
  const auto run = [&] {
    for (int64_t i = 0; i < calls; i++) replay.run(next++);
  };
  if constexpr (!cuda) {  // samples of a millisecond: the host's clock, and the scheduler's interruptions fall into few of them
    const auto start = Clock::now();
    for (int64_t i = 0; i < replay.turns() && (i < 2 || seconds_since(start) < seconds); i++) replay.run(next++);
    const double each = seconds_since(start) / static_cast<double>(next);
    calls = std::clamp<int64_t>(static_cast<int64_t>(1e-3 / std::max(each, 1e-9)), 1, replay.turns());
  }
  TimedWork<B> work(*device.queue, run);
  std::vector<double> times;
  const auto start = Clock::now();
  while (times.size() < fewest_samples || (times.size() < most_samples && seconds_since(start) < seconds))
    times.push_back(work.seconds() / static_cast<double>(calls));
  return summary(std::move(times), replay.turns());
}

template <class B>
void time_all(const std::vector<OpCase>& cases, const ModelOptions& options, double seconds,
              const std::function<void(const OpCase&, const OpSample&)>& done) {
  ModelOptions alone = options;
  alone.ranks = 1;
  const auto queue = open_queue<B>(alone, 0);
  Device<B> device{queue.get(), 0, 1, options.fusion, activation_dtype<B>(options), options.cache_dtype, {}, {}, {}};
  SyntheticOperands operands;
  for (const OpCase& c : cases) done(c, time_op(device, c, operands, seconds));
}

}  // namespace

std::vector<OpCase> distinct_ops(const TraceStep& step, const ModelOptions& options) {
  std::vector<OpCase> cases;
  std::vector<std::vector<std::string>> names;
  std::map<std::string, size_t> known;
  for (const TraceNode* node : executed_nodes(step.graph, options.place.cuda, options.fusion != Fusion::Off)) {
    if (node->op == "all_reduce" || node->op == "all_gather" || !node->runs_on(options.place.cuda)) continue;
    const auto [it, fresh] = known.try_emplace(key_of(step.graph, *node), cases.size());
    if (fresh)
      cases.push_back({&step, node, 1, ""}), names.emplace_back();
    else
      cases[it->second].calls++;
    for (std::string& name : matrices(step.graph, *node)) {
      auto& list = names[it->second];
      if (std::find(list.begin(), list.end(), name) == list.end()) list.push_back(std::move(name));
    }
  }
  for (size_t i = 0; i < cases.size(); i++)
    for (const std::string& name : names[i]) cases[i].weights += (cases[i].weights.empty() ? "" : ", ") + name;
  return cases;
}

void time_ops(const std::vector<OpCase>& cases, const ModelOptions& options, double seconds,
              const std::function<void(const OpCase&, const OpSample&)>& done) {
  if constexpr (has_cuda)
    if (options.place.cuda) return time_all<Cuda>(cases, options, seconds, done);
  time_all<Cpu>(cases, options, seconds, done);
}

}  // namespace infernum::app
