// `infernum bench`: prefill and decode speed of a model, or of a published shape with synthetic weights, with their share of the floor.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

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

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// One sequence of up to `length` tokens in a shared cache.
class Sequence {
 public:
  Sequence(Model& model, CachePools& pools, int64_t length) : model_(model), cache_(pools) {
    check(cache_.reserve(length), "bench: cache too small");
  }
  /// In steps of at most 512.
  void append(std::span<const int32_t> tokens) {
    for (size_t done = 0; done < tokens.size();) {
      const size_t n = std::min<size_t>(512, tokens.size() - done);
      const StepItem item{&cache_, tokens.subspan(done, n), length_, StepItem::Logits::Last};
      run_step(model_, std::span(&item, 1));
      length_ += static_cast<int64_t>(n);
      done += n;
    }
  }

 private:
  Model& model_;
  SequenceCache cache_;
  int64_t length_ = 0;
};

/// Tokens per second of the whole prompt.
double measure_prefill(Model& model, const std::vector<int32_t>& tokens) {
  const auto length = static_cast<int64_t>(tokens.size());
  CachePools pools(model, length + 1, 1);
  Sequence sequence(model, pools, length);
  const auto start = Clock::now();
  sequence.append(tokens);
  return static_cast<double>(tokens.size()) / seconds_since(start);
}

/// Tokens per second of `steps` single tokens behind each of these depths. The depths take turns token by token, so that a machine whose
/// speed changes changes it for all alike.
std::vector<double> measure_decode(Model& model, const std::vector<int64_t>& depths, int64_t steps) {
  const auto tokens = random_tokens(*std::max_element(depths.begin(), depths.end()), model.info().vocab_size);
  int64_t length = 0;
  for (const int64_t depth : depths) length += (depth + steps) / block_tokens * block_tokens + block_tokens;
  CachePools pools(model, length, static_cast<int64_t>(depths.size()));
  std::vector<std::unique_ptr<Sequence>> sequences;
  for (const int64_t depth : depths) {
    sequences.push_back(std::make_unique<Sequence>(model, pools, depth + steps));
    sequences.back()->append(std::span(tokens).first(static_cast<size_t>(depth)));
  }
  std::vector<double> seconds(depths.size());
  for (int64_t i = 0; i < steps; i++)
    for (size_t d = 0; d < depths.size(); d++) {
      const auto start = Clock::now();
      sequences[d]->append(std::span(tokens).first(1));
      seconds[d] += seconds_since(start);
    }
  for (double& s : seconds) s = static_cast<double>(steps) / s;
  return seconds;
}

struct Subject {
  std::string name, format;
  ModelOptions options;
  std::unique_ptr<Model> model;
  TraceReport trace;
};

Subject load_subject(const BenchFlags& flags) {
  if (flags.shape.empty()) {
    Session session(flags);
    auto trace = trace_model(session.checkpoint, session.options, 512, true);
    return {session.checkpoint.path, "as stored", session.options, std::move(session.model), std::move(trace)};
  }
  const std::string json = shape_config(flags.shape);
  const ConfigReader config(json);
  const DType type = parse_gguf_type(flags.format);
  const ModelOptions options = model_options(flags, json);
  const Family& family = find_family(config);
  SyntheticSource traced(type), source(type);
  auto trace = family.trace(config, traced, options, 512);
  return {flags.shape, std::string(info(type).name), options, family.load(config, source, options), std::move(trace)};
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
  model.time_ops([&](std::string_view op, double seconds) {
    if (!counting) return;
    Use& use = ops[std::string(op)];
    use.seconds += seconds;
    use.calls++;
  });
  const auto length = static_cast<int64_t>(tokens.size());
  CachePools pools(model, length + steps + 1, 1);
  Sequence sequence(model, pools, length + steps);
  auto start = Clock::now();
  sequence.append(tokens);
  if (steps > 0) {
    counting = true;
    start = Clock::now();
    for (int64_t i = 0; i < steps; i++) sequence.append(std::span(tokens).first(1));
  }
  const double wall = seconds_since(start);
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
  const Processor processor = measure_processor(subject.options);
  const double bandwidth = processor.bandwidth;
  std::vector<int64_t> depths;
  for (const int64_t d : flags.depths) depths.push_back(std::max<int64_t>(1, d));
  std::vector<Row> rows;
  for (int64_t n : flags.prompt_tokens)
    if (n > 0) rows.push_back({"pp" + std::to_string(n), {}, 0});
  for (int64_t n : flags.generated_tokens)
    for (const int64_t d : flags.depths)
      if (n > 0)
        rows.push_back(
            {"tg" + std::to_string(n) + (d ? " @ " + std::to_string(d) : ""), {}, static_cast<double>(subject.trace.decode.bytes())});
  const auto prompt = [&](int64_t n) { return random_tokens(n, model.info().vocab_size); };
  measure_decode(model, {32}, 4);  // warm-up: page in, fill the pools
  for (int repetition = 0; repetition < flags.repetitions; repetition++) {
    size_t row = 0;
    for (int64_t n : flags.prompt_tokens)
      if (n > 0) rows[row++].rates.push_back(measure_prefill(model, prompt(n)));
    for (int64_t n : flags.generated_tokens)
      if (n > 0)
        for (const double rate : measure_decode(model, depths, n)) rows[row++].rates.push_back(rate);
  }
  if (flags.profile) {
    print_profile("prefill of 512 tokens", model, subject.trace.prefill, prompt(512), 0, bandwidth);
    print_profile("decode at context 512, per token", model, subject.trace.decode, prompt(512), 16, bandwidth);
  }
  if (flags.json) {
    nlohmann::ordered_json out{{"model", subject.name},
                               {"format", subject.format},
                               {"device", flags.device},
                               {"processor", processor.description},
                               {"threads", processor.threads},
                               {"dtype", info(subject.options.dtype).name},
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
  std::printf("%s, %s, %s, activations %s; read bandwidth %.1f GB/s\n", subject.name.c_str(), subject.format.c_str(),
              processor.description.c_str(), std::string(info(subject.options.dtype).name).c_str(), bandwidth / 1e9);
  std::printf("%-14s %12s %10s %22s\n", "test", "tokens/s", "+-", "share of bandwidth");
  for (const Row& r : rows) {
    std::printf("%-14s %12.2f %10.2f", r.test.c_str(), r.mean(), r.deviation());
    if (r.bytes_per_token > 0) std::printf(" %20.0f %%", 100 * r.bytes_per_token * r.mean() / bandwidth);
    std::printf("\n");
  }
  return 0;
}

}  // namespace infernum::app
