// `infernum bench ops`: the ops of a model's step one by one, with their share of the floor.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "bench_options.h"
#include "bench_subject.h"
#include "core/check.h"
#include "floor.h"
#include "op_bench.h"
#include "values.h"

namespace infernum::app {
namespace {

using Json = nlohmann::ordered_json;

/// Those of the ops asked for. Throws, naming the nearest one, where no step has such an op.
std::vector<OpCase> chosen(std::vector<OpCase> cases, const std::vector<std::string>& ops) {
  if (ops.empty()) return cases;
  std::vector<std::string> known;
  for (const OpCase& c : cases)
    if (std::find(known.begin(), known.end(), c.node->op) == known.end()) known.push_back(c.node->op);
  std::string list;
  for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
  for (const std::string& op : ops) {
    const std::string closest = nearest(op, known);
    check(std::find(known.begin(), known.end(), op) != known.end(), "--op: this model's steps have no such op", op,
          closest.empty() ? "" : "; did you mean " + closest + "?", "; there are:", list);
  }
  cases.erase(std::remove_if(cases.begin(), cases.end(),
                             [&](const OpCase& c) { return std::find(ops.begin(), ops.end(), c.node->op) == ops.end(); }),
              cases.end());
  return cases;
}

std::string dimensions(const View<Trace>& v) {
  std::string text;
  for (int i = 0; i < v.rank; i++) text += (i ? "x" : "") + std::to_string(v.size[i]);
  return text;
}

/// "2048x8192 Q4_0" of a product's matrices; of other ops the widest floats that come in or go out.
std::string operands(const OpCase& c) {
  const TraceArgument* shown = nullptr;
  for (const TraceArgument& a : c.node->arguments) {
    if (a.value < 0) continue;
    const TraceValue& value = c.step->graph.values[static_cast<size_t>(a.value)];
    if (value.kind == TraceValue::Kind::Weight && a.view.rank == 2) {
      shown = &a;
      break;
    }
    if (value.kind == TraceValue::Kind::Activation && is_float(value.dtype) && (!shown || a.view.elements() > shown->view.elements()))
      shown = &a;
  }
  if (!shown) return "";
  return (shown->list ? std::to_string(shown->list) + " of " : "") + dimensions(shown->view) + " " +
         describe(c.step->graph.values[static_cast<size_t>(shown->value)].dtype);
}

Json to_json(const OpCase& c, const OpSample& s, const Floor& floor) {
  Json arguments = Json::array();
  for (const TraceArgument& a : c.node->arguments) {
    if (a.value < 0) continue;
    Json shape = Json::array();
    if (a.list) shape.push_back(a.list);
    for (int i = 0; i < a.view.rank; i++) shape.push_back(a.view.size[i]);
    arguments.push_back({{"dtype", info(a.view.dtype).name}, {"shape", shape}});
  }
  const Cost& cost = c.node->cost;
  return {{"op", c.node->op},
          {"weights", c.weights},
          {"tokens", c.step->tokens},
          {"context", c.step->context},
          {"calls_per_step", c.calls},
          {"arguments", arguments},
          {"seconds", s.median},
          {"quartiles", {s.lower, s.upper}},
          {"samples", s.samples},
          {"operand_sets", s.turns},
          {"bytes", cost.bytes},
          {"flops", cost.flops},
          {"bytes_per_second", cost.bytes / s.median},
          {"flops_per_second", cost.flops / s.median},
          {"floor_seconds", floor.seconds},
          {"share_of_floor", floor.seconds / s.median},
          {"bound", floor.memory ? "memory" : "arithmetic"}};
}

void print(const OpCase& c, const OpSample& s, const Floor& floor) {
  const double rate = (floor.memory ? c.node->cost.bytes : c.node->cost.flops) / s.median / 1e9;
  std::printf("%-16s %-26s %5lld %10.2f %9.2f - %-9.2f %9.3f %8.1f %-8s %5.0f %%  %s\n", c.node->op.c_str(), operands(c).c_str(),
              static_cast<long long>(c.calls), s.median * 1e6, s.lower * 1e6, s.upper * 1e6, c.node->cost.bytes / 1e6, rate,
              floor.memory ? "GB/s" : "GFLOP/s", 100 * floor.seconds / s.median, c.weights.substr(0, 60).c_str());
  std::fflush(stdout);
}

}  // namespace

int bench_ops(const BenchOpsFlags& flags) {
  const Subject subject = open_subject(flags, flags.shape, flags.format, false);
  std::vector<TraceStep> steps;
  for (const int64_t tokens : flags.tokens) steps.push_back(subject.trace({tokens, std::max(tokens, flags.context)}));
  std::vector<OpCase> cases;
  for (const TraceStep& step : steps)
    for (OpCase& c : distinct_ops(step, subject.options)) cases.push_back(std::move(c));
  cases = chosen(std::move(cases), flags.ops);
  const Processor p = measure_processor(subject.options);
  Json results = Json::array();
  if (!flags.json)
    std::printf("%s, %s, %s, activations %s; read bandwidth %.1f GB/s, products F32 %.0f, BF16 %.0f, int8 %.0f G(FL)OP/s\n",
                subject.name.c_str(), subject.format.c_str(), p.description.c_str(), describe(p.dtype).c_str(), p.bandwidth / 1e9,
                p.rates.f32 / 1e9, p.rates.bf16 / 1e9, p.rates.int8 / 1e9);
  const TraceStep* shown = nullptr;
  time_ops(cases, subject.options, flags.seconds, [&](const OpCase& c, const OpSample& s) {
    const Floor floor = floor_of(c.step->graph, *c.node, p);
    if (flags.json) {
      results.push_back(to_json(c, s, floor));
      return;
    }
    if (shown != c.step)
      std::printf("\n%lld tokens of %lld\n%-16s %-26s %5s %10s %21s %9s %17s %7s\n", static_cast<long long>(c.step->tokens),
                  static_cast<long long>(c.step->context), "op", "operands", "calls", "us", "quartiles      ", "MB", "rate      ", "floor");
    shown = c.step;
    print(c, s, floor);
  });
  if (flags.json) {
    const Json out{{"model", subject.name},
                   {"format", subject.format},
                   {"device", flags.device},
                   {"processor", p.description},
                   {"threads", p.threads},
                   {"dtype", info(p.dtype).name},
                   {"read_bandwidth_bytes_per_second", p.bandwidth},
                   {"products_per_second", {{"f32", p.rates.f32}, {"bf16", p.rates.bf16}, {"int8", p.rates.int8}}},
                   {"results", results}};
    std::printf("%s\n", out.dump(1).c_str());
  }
  return 0;
}

}  // namespace infernum::app
