// `infernum bench`: prefill and decode speed of a model, or of a published shape with synthetic weights, with their share of the floor.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>

#include "bench_profile.h"
#include "bench_sequence.h"

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

/// Tokens per second of the whole prompt.
double measure_prefill(Model& model, const std::vector<int32_t>& tokens) {
  const auto length = static_cast<int64_t>(tokens.size());
  CachePools pools(model, length + 1, 1);
  BenchSequence sequence(model, pools, length);
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
  std::vector<std::unique_ptr<BenchSequence>> sequences;
  for (const int64_t depth : depths) {
    sequences.push_back(std::make_unique<BenchSequence>(model, pools, depth + steps));
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

std::vector<int32_t> prompt_of(const Model& model, int64_t tokens) { return random_tokens(tokens, model.info().vocab_size); }

std::vector<Row> measure(const BenchFlags& flags, const Subject& subject, const std::vector<int64_t>& depths) {
  Model& model = *subject.model;
  std::vector<Row> rows;
  for (int64_t n : flags.prompt_tokens)
    if (n > 0) rows.push_back({"pp" + std::to_string(n), {}, 0});
  for (int64_t n : flags.generated_tokens)
    for (const int64_t d : flags.depths)
      if (n > 0)
        rows.push_back({"tg" + std::to_string(n) + (d ? " @ " + std::to_string(d) : ""),
                        {},
                        subject.trace({1, std::max<int64_t>(1, d) + (n + 1) / 2}).bytes()});
  measure_decode(model, {32}, 4);  // warm-up: page in, fill the pools
  for (int repetition = 0; repetition < flags.repetitions; repetition++) {
    size_t row = 0;
    for (int64_t n : flags.prompt_tokens)
      if (n > 0) rows[row++].rates.push_back(measure_prefill(model, prompt_of(model, n)));
    for (int64_t n : flags.generated_tokens)
      if (n > 0)
        for (const double rate : measure_decode(model, depths, n)) rows[row++].rates.push_back(rate);
  }
  return rows;
}

std::vector<Profile> profile(const BenchFlags& flags, const Subject& subject, const Processor& processor,
                             const std::vector<int64_t>& depths) {
  std::vector<Profile> profiles;
  for (const int64_t n : flags.prompt_tokens)
    if (n > 0) profiles.push_back(profile_prefill(subject, processor, prompt_of(*subject.model, n)));
  if (std::any_of(flags.generated_tokens.begin(), flags.generated_tokens.end(), [](int64_t n) { return n > 0; }))
    for (const int64_t depth : depths) profiles.push_back(profile_decode(subject, processor, prompt_of(*subject.model, depth)));
  return profiles;
}

void print_json(const BenchFlags& flags, const Subject& subject, const Processor& processor, const std::vector<Row>& rows,
                const std::vector<Profile>& profiles) {
  nlohmann::ordered_json out{{"model", subject.name},
                             {"format", subject.format},
                             {"device", flags.device},
                             {"processor", processor.description},
                             {"threads", processor.threads},
                             {"dtype", info(subject.options.dtype).name},
                             {"read_bandwidth_bytes_per_second", processor.bandwidth},
                             {"results", nlohmann::ordered_json::array()}};
  for (const Row& r : rows)
    out["results"].push_back({{"test", r.test},
                              {"tokens_per_second", r.rates},
                              {"mean", r.mean()},
                              {"standard_deviation", r.deviation()},
                              {"bytes_per_token", r.bytes_per_token}});
  for (const Profile& p : profiles) out["profiles"].push_back(to_json(p));
  std::printf("%s\n", out.dump(1).c_str());
}

void print_table(const Subject& subject, const Processor& processor, const std::vector<Row>& rows) {
  std::printf("%s, %s, %s, activations %s; read bandwidth %.1f GB/s\n", subject.name.c_str(), subject.format.c_str(),
              processor.description.c_str(), std::string(info(subject.options.dtype).name).c_str(), processor.bandwidth / 1e9);
  std::printf("%-14s %12s %10s %22s\n", "test", "tokens/s", "+-", "share of bandwidth");
  for (const Row& r : rows) {
    std::printf("%-14s %12.2f %10.2f", r.test.c_str(), r.mean(), r.deviation());
    if (r.bytes_per_token > 0) std::printf(" %20.0f %%", 100 * r.bytes_per_token * r.mean() / processor.bandwidth);
    std::printf("\n");
  }
}

}  // namespace

int bench(const BenchFlags& flags) {
  const Subject subject = open_subject(flags, flags.shape, flags.format, true);
  const Processor processor = measure_processor(subject.options);
  std::vector<int64_t> depths;
  for (const int64_t d : flags.depths) depths.push_back(std::max<int64_t>(1, d));
  const std::vector<Row> rows = measure(flags, subject, depths);
  std::vector<Profile> profiles;
  if (flags.profile) profiles = profile(flags, subject, processor, depths);
  if (flags.json) {
    print_json(flags, subject, processor, rows, profiles);
    return 0;
  }
  for (const Profile& p : profiles) print(p, processor);
  print_table(subject, processor, rows);
  return 0;
}

}  // namespace infernum::app
