#include "bench_profile.h"

#include <chrono>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "bench_sequence.h"

namespace infernum::app {
namespace {

using Clock = std::chrono::steady_clock;
using Uses = std::map<std::string, OpUse>;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Adds what the traced step moves and computes, and the least time for it, to the ops that were seen.
void add_costs(Uses& uses, const TraceStep& step, const Subject& subject, const Processor& processor, double share) {
  const ModelOptions& o = subject.options;
  for (const TraceNode* n : executed_nodes(step.graph, o.place.cuda, o.fusion != Fusion::Off)) {
    const auto use = uses.find(n->op);
    if (use == uses.end()) continue;
    use->second.bytes += share * n->cost.bytes;
    use->second.flops += share * n->cost.flops;
    use->second.floor += share * floor_of(step.graph, *n, processor).seconds;
  }
}

OpTimer count_into(Uses& uses) {
  return [&uses](const OpTime& t) {
    OpUse& use = uses[std::string(t.op)];
    use.seconds += t.seconds;
    use.calls++;
  };
}

Profile finished(std::string test, double seconds, Uses&& uses, double runs) {
  Profile p{std::move(test), seconds / runs, {}};
  for (auto& [op, use] : uses) {
    use.op = op;
    use.calls /= runs;
    use.seconds /= runs;
    p.ops.push_back(std::move(use));
  }
  return p;
}

}  // namespace

Profile profile_prefill(const Subject& subject, const Processor& processor, std::span<const int32_t> tokens) {
  Model& model = *subject.model;
  const auto length = static_cast<int64_t>(tokens.size());
  CachePools pools(model, length + 1, 1);
  BenchSequence sequence(model, pools, length);
  Uses uses;
  model.time_ops(count_into(uses));
  const auto start = Clock::now();
  sequence.append(tokens);
  const double seconds = seconds_since(start);
  model.time_ops({});
  for (int64_t done = 0; done < length; done += BenchSequence::step_tokens) {
    const int64_t n = std::min(BenchSequence::step_tokens, length - done);
    add_costs(uses, subject.trace({n, done + n}), subject, processor, 1);
  }
  return finished("pp" + std::to_string(length), seconds, std::move(uses), 1);
}

Profile profile_decode(const Subject& subject, const Processor& processor, std::span<const int32_t> tokens) {
  constexpr int64_t steps = 16;
  Model& model = *subject.model;
  const auto depth = static_cast<int64_t>(tokens.size());
  CachePools pools(model, depth + steps + 1, 1);
  BenchSequence sequence(model, pools, depth + steps);
  sequence.append(tokens);
  Uses uses;
  model.time_ops(count_into(uses));
  const auto start = Clock::now();
  for (int64_t i = 0; i < steps; i++) sequence.append(tokens.first(1));
  const double seconds = seconds_since(start);
  model.time_ops({});
  add_costs(uses, subject.trace({1, depth + steps / 2}), subject, processor, 1);
  return finished("tg @ " + std::to_string(depth), seconds, std::move(uses), static_cast<double>(steps));
}

void print(const Profile& p, const Processor& processor) {
  std::printf("%s: %.3f ms\n%-16s %8s %10s %7s %10s %10s %10s %7s\n", p.test.c_str(), p.seconds * 1e3, "op", "calls", "ms", "time", "MB",
              "GB/s", "GFLOP/s", "floor");
  double sum = 0;
  for (const OpUse& u : p.ops) {
    sum += u.seconds;
    std::printf("%-16s %8.0f %10.3f %6.1f%% %10.2f %10.1f %10.1f %6.0f%%\n", u.op.c_str(), u.calls, u.seconds * 1e3,
                100 * u.seconds / p.seconds, u.bytes / 1e6, u.bytes / u.seconds / 1e9, u.flops / u.seconds / 1e9,
                100 * u.floor / u.seconds);
  }
  std::printf("%-16s %8s %10.3f %6.1f%%\n", "between ops", "", (p.seconds - sum) * 1e3, 100 * (p.seconds - sum) / p.seconds);
  std::printf("floor: bytes at %.1f GB/s or products at F32 %.0f, BF16 %.0f, int8 %.0f G(FL)OP/s, whichever takes longer\n\n",
              processor.bandwidth / 1e9, processor.rates.f32 / 1e9, processor.rates.bf16 / 1e9, processor.rates.int8 / 1e9);
}

nlohmann::ordered_json to_json(const Profile& p) {
  nlohmann::ordered_json ops = nlohmann::ordered_json::array();
  for (const OpUse& u : p.ops)
    ops.push_back({{"op", u.op},
                   {"calls", u.calls},
                   {"seconds", u.seconds},
                   {"bytes", u.bytes},
                   {"flops", u.flops},
                   {"floor_seconds", u.floor},
                   {"share_of_floor", u.floor / u.seconds}});
  return {{"test", p.test}, {"seconds", p.seconds}, {"ops", std::move(ops)}};
}

}  // namespace infernum::app
