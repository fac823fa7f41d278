// `infernum bench throughput`: many prompts through the engine, so many at once, without a server.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "bench_options.h"
#include "core/check.h"
#include "runtime/model_engine.h"
#include "server/load/offline.h"
#include "session.h"
#include "text/load_text.h"

namespace infernum::app {
namespace {

/// Prompts made up of token ids, or the texts of the file. Greedy, and of the full length: runs are to compare.
std::vector<EngineRequest> make_requests(const BenchThroughputFlags& flags, const EngineInfo& info, const Tokenizer& tokenizer) {
  load::Workload workload = flags.workload;
  workload.chat = workload.stream = false;
  if (workload.prompts_file.empty()) workload.ids_below = std::min<int64_t>(info.vocab_size, tokenizer.vocab_size());
  std::vector<EngineRequest> requests;
  for (const std::string& text : load::make_bodies(workload)) {
    const auto body = nlohmann::json::parse(text);
    EngineRequest request;
    request.prompt =
        body["prompt"].is_string() ? tokenizer.encode(body["prompt"].get<std::string>()) : body["prompt"].get<std::vector<int32_t>>();
    request.max_tokens = body["max_tokens"].get<int64_t>();
    request.sampling.temperature = 0;
    check_engine_request(request, info);
    requests.push_back(std::move(request));
  }
  return requests;
}

nlohmann::ordered_json milliseconds(const load::Spread& s) {
  return {{"mean", s.mean * 1e3}, {"p50", s.p50 * 1e3}, {"p95", s.p95 * 1e3}, {"p99", s.p99 * 1e3}};
}

nlohmann::ordered_json to_json(const load::OfflineFigures& f) {
  return {{"requests", f.requests},
          {"seconds", f.seconds},
          {"prompt_tokens", f.prompt_tokens},
          {"cached_tokens", f.cached_tokens},
          {"generated_tokens", f.generated_tokens},
          {"preemptions", f.preemptions},
          {"prompt_tokens_per_second", f.prompt_tokens_per_second},
          {"generated_tokens_per_second", f.generated_tokens_per_second},
          {"total_tokens_per_second", f.total_tokens_per_second},
          {"requests_per_second", f.seconds > 0 ? static_cast<double>(f.requests) / f.seconds : 0},
          {"ttft_ms", milliseconds(f.ttft)},
          {"decode_ms_per_token", milliseconds(f.decode_seconds_per_token)}};
}

}  // namespace

int bench_throughput(const BenchThroughputFlags& flags) {
  Session session(flags);
  const Tokenizer tokenizer = load_tokenizer(session.checkpoint);
  ModelEngineOptions options;
  options.max_num_seqs = flags.concurrency;
  options.max_num_batched_tokens = std::max<int64_t>(flags.max_num_batched_tokens, flags.concurrency);
  options.max_queue = flags.concurrency;
  options.usable_vocab = tokenizer.vocab_size();
  ModelEngine engine(std::move(session.model), options);
  load::OfflineRun offline(engine);
  const std::vector<EngineRequest> requests = make_requests(flags, engine.info(), tokenizer);
  EngineRequest warm_up = requests.front();  // pages the weights in, outside of the cache of the others
  warm_up.max_tokens = 2;
  warm_up.cache_salt = "warm-up";
  offline.run({warm_up}, 1);
  const load::OfflineFigures f = offline.run(requests, flags.concurrency);
  engine.stop();
  check(f.failed == 0, "bench throughput: requests failed:", f.failed, "of", f.requests, f.failure);
  if (flags.json) {
    nlohmann::ordered_json out{{"model", session.checkpoint.path}, {"concurrency", flags.concurrency}};
    out.update(to_json(f));
    std::printf("%s\n", out.dump(1).c_str());
    return 0;
  }
  std::printf("%s: %zu requests, %d at once, %lld + %lld tokens in %.2f s\n", session.checkpoint.path.c_str(), f.requests,
              flags.concurrency, static_cast<long long>(f.prompt_tokens), static_cast<long long>(f.generated_tokens), f.seconds);
  std::printf("prompts %.1f tokens/s, generated %.1f tokens/s, together %.1f tokens/s, %.2f requests/s\n", f.prompt_tokens_per_second,
              f.generated_tokens_per_second, f.total_tokens_per_second, static_cast<double>(f.requests) / f.seconds);
  std::printf("first token p50 %.1f ms, p95 %.1f ms; per token behind it p50 %.2f ms, p95 %.2f ms\n", f.ttft.p50 * 1e3, f.ttft.p95 * 1e3,
              f.decode_seconds_per_token.p50 * 1e3, f.decode_seconds_per_token.p95 * 1e3);
  return 0;
}

}  // namespace infernum::app
