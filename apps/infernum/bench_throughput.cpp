// `infernum bench throughput`: many prompts through a model, so many at once, without a server.
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>

#include "bench_options.h"
#include "core/check.h"
#include "runtime/generator.h"
#include "session.h"
#include "text/load_text.h"

namespace infernum::app {
namespace {

using Clock = std::chrono::steady_clock;

/// Token ids of the prompts: made up, or from the file's texts.
std::vector<GenerationRequest> make_requests(const BenchThroughputFlags& flags, const Model& model, const Tokenizer& tokenizer) {
  load::Workload workload = flags.workload;
  workload.chat = false;
  workload.stream = false;
  if (workload.prompts_file.empty()) workload.ids_below = std::min<int64_t>(model.info().vocab_size, tokenizer.vocab_size());
  std::vector<GenerationRequest> requests;
  for (const std::string& text : load::make_bodies(workload)) {
    const auto body = nlohmann::json::parse(text);
    GenerationRequest request;
    request.prompt =
        body["prompt"].is_string() ? tokenizer.encode(body["prompt"].get<std::string>()) : body["prompt"].get<std::vector<int32_t>>();
    request.max_tokens = body["max_tokens"].get<int64_t>();
    request.sampling.temperature = 0;
    requests.push_back(std::move(request));
  }
  return requests;
}

struct Totals {
  int64_t prompt_tokens = 0, generated_tokens = 0, requests = 0;
  double seconds = 0;
  double first_token_seconds = 0;  ///< of all groups: until every sequence had its first token
};

}  // namespace

int bench_throughput(const BenchThroughputFlags& flags) {
  Session session(flags);
  Model& model = *session.model;
  const Tokenizer tokenizer = load_tokenizer(session.checkpoint);
  std::vector<GenerationRequest> requests = make_requests(flags, model, tokenizer);
  int64_t longest = 0;
  for (const auto& r : requests) longest = std::max(longest, static_cast<int64_t>(r.prompt.size()) + r.max_tokens);
  check(longest <= model.info().context, "bench throughput: prompt and output are longer than the context:", longest, model.info().context);
  GeneratorOptions options;
  options.max_sequences = flags.concurrency;
  options.prefill_chunk = flags.max_num_batched_tokens;
  options.cache_tokens = (longest + block_tokens) * flags.concurrency;
  Generator generator(model, tokenizer, options);
  generator.run({[&] {
    GenerationRequest warm_up = requests.front();  // pages the weights in
    warm_up.max_tokens = 2;
    return warm_up;
  }()});
  Totals totals;
  for (size_t at = 0; at < requests.size(); at += static_cast<size_t>(flags.concurrency)) {
    const size_t end = std::min(requests.size(), at + static_cast<size_t>(flags.concurrency));
    const std::vector<GenerationRequest> group(requests.begin() + static_cast<std::ptrdiff_t>(at),
                                               requests.begin() + static_cast<std::ptrdiff_t>(end));
    const auto start = Clock::now();
    const auto results = generator.run(group);
    totals.seconds += std::chrono::duration<double>(Clock::now() - start).count();
    double first = 0;
    for (size_t i = 0; i < group.size(); i++) {
      totals.prompt_tokens += static_cast<int64_t>(group[i].prompt.size());
      totals.generated_tokens += static_cast<int64_t>(results[i].tokens.size());
      first = std::max(first, results[i].first_token_seconds);
    }
    totals.first_token_seconds += first;
    totals.requests += static_cast<int64_t>(group.size());
  }
  const double decode_seconds = totals.seconds - totals.first_token_seconds;
  const auto rate = [](int64_t tokens, double seconds) { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; };
  const double prefill = rate(totals.prompt_tokens, totals.first_token_seconds);
  const double decode = rate(totals.generated_tokens - totals.requests, decode_seconds);
  const double total = rate(totals.prompt_tokens + totals.generated_tokens, totals.seconds);
  if (flags.json) {
    const nlohmann::ordered_json out{
        {"model", session.checkpoint.path},      {"requests", totals.requests},
        {"concurrency", flags.concurrency},      {"seconds", totals.seconds},
        {"prompt_tokens", totals.prompt_tokens}, {"generated_tokens", totals.generated_tokens},
        {"prefill_tokens_per_second", prefill},  {"decode_tokens_per_second", decode},
        {"total_tokens_per_second", total},      {"requests_per_second", rate(totals.requests, totals.seconds)}};
    std::printf("%s\n", out.dump(1).c_str());
    return 0;
  }
  std::printf("%s: %lld requests, %d at once, %lld + %lld tokens in %.2f s\n", session.checkpoint.path.c_str(),
              static_cast<long long>(totals.requests), flags.concurrency, static_cast<long long>(totals.prompt_tokens),
              static_cast<long long>(totals.generated_tokens), totals.seconds);
  std::printf("prefill %.1f tokens/s, decode %.1f tokens/s, together %.1f tokens/s, %.2f requests/s\n", prefill, decode, total,
              rate(totals.requests, totals.seconds));
  return 0;
}

}  // namespace infernum::app
