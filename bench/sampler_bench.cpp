// Time to choose one token of a vocabulary of 151,936, by parameter.
#include <benchmark/benchmark.h>

#include <random>

#include "runtime/sampler.h"
#include "runtime/token_counts.h"

namespace {

using infernum::SamplingParams;

constexpr int64_t vocab = 151936;

/// Logits like those of a language model: a few likely tokens above a wide bell.
std::vector<float> made_up_logits() {
  std::mt19937 random(1);
  std::normal_distribution<float> bell(0, 3);
  std::vector<float> logits(vocab);
  for (float& l : logits) l = bell(random);
  for (int i = 0; i < 200; i++) logits[random() % logits.size()] += 9;
  return logits;
}

void choose(benchmark::State& state, const SamplingParams& params, int64_t prompt_tokens) {
  const auto logits = made_up_logits();
  std::mt19937 random(2);
  std::vector<int32_t> prompt, output;
  for (int64_t i = 0; i < prompt_tokens; i++) prompt.push_back(static_cast<int32_t>(random() % 3000));
  infernum::TokenCounts counts;
  auto copy = logits;
  for (auto _ : state) {
    std::copy(logits.begin(), logits.end(), copy.begin());
    output.push_back(sample(copy, params, {prompt, output, vocab, {}, &counts}, static_cast<int64_t>(output.size())));
  }
}

}  // namespace

int main(int argc, char** argv) {
  SamplingParams greedy, plain, top_p, typical, penalties, both;
  greedy.temperature = 0;
  top_p.top_p = 0.95f;
  typical.typical_p = 0.95f;
  penalties.repetition_penalty = 1.1f;
  penalties.frequency_penalty = 0.5f;
  penalties.temperature = 0;
  both = penalties;
  both.temperature = 1;
  both.typical_p = 0.95f;
  benchmark::RegisterBenchmark("greedy", choose, greedy, 0);
  benchmark::RegisterBenchmark("temperature", choose, plain, 0);
  benchmark::RegisterBenchmark("top_p 0.95", choose, top_p, 0);
  benchmark::RegisterBenchmark("typical_p 0.95", choose, typical, 0);
  for (int64_t tokens : {1000, 32000})
    benchmark::RegisterBenchmark(("greedy, penalties, prompt of " + std::to_string(tokens)).c_str(), choose, penalties, tokens);
  benchmark::RegisterBenchmark("typical_p 0.95, penalties, prompt of 32000", choose, both, 32000);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
