// `infernum bench`: prefill and decode speed of a model, or of a published shape with synthetic weights, with their share of the floor.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "backends/cpu/queue.h"
#include "bandwidth.h"
#include "checkpoint/convert.h"
#include "core/check.h"
#include "models/families.h"
#include "models/loader.h"
#include "models/synthetic.h"
#include "options.h"
#include "runtime/executor.h"
#include "session.h"

namespace infernum::app {
namespace {

using Clock = std::chrono::steady_clock;

struct Row {
  std::string test;
  std::vector<double> rates;  ///< tokens per second, one per repetition
  double bytes_per_token = 0;
  double mean() const {
    double sum = 0;
    for (double r : rates) sum += r;
    return sum / static_cast<double>(rates.size());
  }
  double deviation() const {
    double sum = 0;
    for (double r : rates) sum += (r - mean()) * (r - mean());
    return rates.size() > 1 ? std::sqrt(sum / static_cast<double>(rates.size() - 1)) : 0;
  }
};

std::vector<int32_t> random_tokens(int64_t n, int64_t vocab) {
  std::mt19937 rng(1);
  std::uniform_int_distribution<int32_t> id(0, static_cast<int32_t>(vocab - 1));
  std::vector<int32_t> ids(static_cast<size_t>(n));
  for (auto& i : ids) i = id(rng);
  return ids;
}

/// Feeds `tokens` to an empty cache, then times either that (prefill) or `steps` single tokens after it (decode).
double measure(Model& model, const std::vector<int32_t>& tokens, int64_t steps) {
  CachePools pools(model, static_cast<int64_t>(tokens.size()) + steps + 1, 1);
  SequenceCache cache(pools);
  check(cache.reserve(static_cast<int64_t>(tokens.size()) + steps), "bench: cache too small");
  const auto start = Clock::now();
  for (size_t done = 0; done < tokens.size();) {
    const size_t n = std::min<size_t>(512, tokens.size() - done);
    const StepItem item{&cache, std::span(tokens).subspan(done, n), static_cast<int64_t>(done), StepItem::Logits::Last};
    run_step(model, std::span(&item, 1));
    done += n;
  }
  if (steps == 0) return static_cast<double>(tokens.size()) / std::chrono::duration<double>(Clock::now() - start).count();
  const auto decode_start = Clock::now();
  for (int64_t i = 0; i < steps; i++) {
    const StepItem item{&cache, std::span(tokens).first(1), static_cast<int64_t>(tokens.size()) + i, StepItem::Logits::Last};
    run_step(model, std::span(&item, 1));
  }
  return static_cast<double>(steps) / std::chrono::duration<double>(Clock::now() - decode_start).count();
}

struct Subject {
  std::string name, format;
  std::unique_ptr<Model> model;
  TraceReport trace;
};

Subject load_subject(const BenchFlags& flags) {
  if (flags.shape.empty()) {
    Session session(flags);
    auto trace = trace_model(session.checkpoint, session.options, 512, true);
    return {session.checkpoint.path, "as stored", std::move(session.model), std::move(trace)};
  }
  const std::string json = shape_config(flags.shape);
  const ConfigReader config(json);
  const DType type = parse_gguf_type(flags.format);
  const ModelOptions options = model_options(flags, json);
  const Family& family = find_family(config);
  SyntheticSource traced(type), source(type);
  auto trace = family.trace(config, traced, options, 512);
  return {flags.shape, std::string(info(type).name), family.load(config, source, options), std::move(trace)};
}

/// Time per op over `steps` steps, beside what the trace says the op moves and computes.
void print_profile(const char* title, Model& model, const TraceStep& traced, const std::vector<int32_t>& tokens, int64_t steps,
                   double bandwidth) {
  struct Use {
    double seconds = 0, bytes = 0, flops = 0;
    int64_t calls = 0;
  };
  std::map<std::string, Use> ops;
  bool counting = steps == 0;
  int64_t left = static_cast<int64_t>(tokens.size());
  model.time_ops([&](std::string_view op, double seconds) {
    if (!counting) return;
    Use& use = ops[std::string(op)];
    use.seconds += seconds;
    use.calls++;
  });
  const auto start = Clock::now();
  double wall = 0;
  {
    CachePools pools(model, left + steps + 1, 1);
    SequenceCache cache(pools);
    check(cache.reserve(left + steps), "bench: cache too small");
    const StepItem prompt{&cache, tokens, 0, StepItem::Logits::Last};
    run_step(model, std::span(&prompt, 1));
    wall = std::chrono::duration<double>(Clock::now() - start).count();
    if (steps > 0) {
      counting = true;
      const auto decode_start = Clock::now();
      for (int64_t i = 0; i < steps; i++) {
        const StepItem item{&cache, std::span(tokens).first(1), left + i, StepItem::Logits::Last};
        run_step(model, std::span(&item, 1));
      }
      wall = std::chrono::duration<double>(Clock::now() - decode_start).count();
    }
  }
  model.time_ops({});
  const double runs = static_cast<double>(std::max<int64_t>(1, steps));
  for (const TraceNode& n : traced.graph.nodes)
    if (const auto use = ops.find(n.op); use != ops.end()) use->second.bytes += n.cost.bytes, use->second.flops += n.cost.flops;
  std::printf("%s: %.3f ms\n%-16s %8s %10s %7s %10s %10s %10s\n", title, wall / runs * 1e3, "op", "calls", "ms", "time", "GB/s",
              "bandwidth", "GFLOP/s");
  double sum = 0;
  for (const auto& [op, use] : ops) {
    const double seconds = use.seconds / runs;
    sum += seconds;
    std::printf("%-16s %8.0f %10.3f %6.1f%% %10.1f %9.0f%% %10.1f\n", op.c_str(), static_cast<double>(use.calls) / runs, seconds * 1e3,
                100 * seconds * runs / wall, use.bytes / seconds / 1e9, 100 * use.bytes / seconds / bandwidth, use.flops / seconds / 1e9);
  }
  std::printf("%-16s %8s %10.3f %6.1f%%\n\n", "between ops", "", (wall / runs - sum) * 1e3, 100 * (wall / runs - sum) * runs / wall);
}

}  // namespace

int bench(const BenchFlags& flags) {
  const Subject subject = load_subject(flags);
  Model& model = *subject.model;
  Queue<Cpu> queue(flags.threads ? flags.threads : available_threads());
  const double bandwidth = read_bandwidth(queue);
  std::vector<Row> rows;
  for (int64_t n : flags.prompt_tokens)
    if (n > 0) rows.push_back({"pp" + std::to_string(n), {}, 0});
  for (int64_t n : flags.generated_tokens)
    if (n > 0)
      rows.push_back({"tg" + std::to_string(n) + (flags.depth ? " @ " + std::to_string(flags.depth) : ""),
                      {},
                      static_cast<double>(subject.trace.decode.bytes())});
  const auto prompt = [&](int64_t n) { return random_tokens(n, model.info().vocab_size); };
  measure(model, prompt(32), 4);  // warm-up: page in, fill the pools
  for (int repetition = 0; repetition < flags.repetitions; repetition++) {
    size_t row = 0;
    for (int64_t n : flags.prompt_tokens)
      if (n > 0) rows[row++].rates.push_back(measure(model, prompt(n), 0));
    for (int64_t n : flags.generated_tokens)
      if (n > 0) rows[row++].rates.push_back(measure(model, prompt(std::max<int64_t>(1, flags.depth)), n));
  }
  if (flags.profile) {
    print_profile("prefill of 512 tokens", model, subject.trace.prefill, prompt(512), 0, bandwidth);
    print_profile("decode at context 512, per token", model, subject.trace.decode, prompt(512), 16, bandwidth);
  }
  if (flags.json) {
    nlohmann::ordered_json out{{"model", subject.name},
                               {"format", subject.format},
                               {"threads", queue.pool.size()},
                               {"isa", describe(queue.isa)},
                               {"dtype", flags.dtype},
                               {"read_bandwidth_bytes_per_second", bandwidth},
                               {"results", nlohmann::ordered_json::array()}};
    for (const Row& r : rows)
      out["results"].push_back({{"test", r.test},
                                {"tokens_per_second", r.rates},
                                {"mean", r.mean()},
                                {"standard_deviation", r.deviation()},
                                {"bytes_per_token", r.bytes_per_token}});
    std::printf("%s\n", out.dump(1).c_str());
    return 0;
  }
  std::printf("%s, %s, %d threads, %s, activations %s; read bandwidth %.1f GB/s\n", subject.name.c_str(), subject.format.c_str(),
              queue.pool.size(), describe(queue.isa).c_str(), flags.dtype.c_str(), bandwidth / 1e9);
  std::printf("%-14s %12s %10s %22s\n", "test", "tokens/s", "+-", "share of bandwidth");
  for (const Row& r : rows) {
    std::printf("%-14s %12.2f %10.2f", r.test.c_str(), r.mean(), r.deviation());
    if (r.bytes_per_token > 0) std::printf(" %20.0f %%", 100 * r.bytes_per_token * r.mean() / bandwidth);
    std::printf("\n");
  }
  return 0;
}

}  // namespace infernum::app
