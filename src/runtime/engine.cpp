#include "runtime/engine.h"

#include <algorithm>

#include "core/check.h"

namespace infernum {

RequestBill bill_of(SteadyTime submitted, std::optional<SteadyTime> started, std::optional<SteadyTime> first_token, SteadyTime end) {
  const auto seconds = [](SteadyTime from, SteadyTime to) { return std::chrono::duration<double>(to - from).count(); };
  const SteadyTime start = started.value_or(end), first = first_token.value_or(end);
  RequestBill bill;
  bill.queue_seconds = seconds(submitted, start);
  bill.prefill_seconds = seconds(start, first);
  bill.decode_seconds = seconds(first, end);
  return bill;
}

std::string client_message(EndReason reason) {
  switch (reason) {
    case EndReason::Stop:
    case EndReason::Length:
    case EndReason::Cancelled: return {};
    case EndReason::QueueTimeout: return "the request waited too long for its turn";
    case EndReason::Timeout: return "the request was not done by its deadline";
    case EndReason::Shutdown: return "the engine was stopped";
    case EndReason::NotFinite: return "the model computed values that are not finite for this request";
    case EndReason::OutOfMemory: return "there is not enough memory for this request";
    case EndReason::DeviceLost: return "the device that the engine computes on was lost";
    case EndReason::Fault: return "the engine failed while it worked on this request";
  }
  return {};
}

void check_engine_request(const EngineRequest& r, const EngineInfo& info) {
  const auto prompt = static_cast<int64_t>(r.prompt.size());
  const auto check_id = [&](int32_t id, const char* rule) { check(id >= 0 && id < info.vocab_size, rule, id, info.vocab_size); };
  check(prompt > 0, "request: the prompt has no tokens");
  check(r.max_tokens >= 0, "request: max_tokens is 0 or positive", r.max_tokens);
  const int64_t room = info.context - prompt;
  check(r.max_tokens == 0 ? room >= 0 : room > 0, "request: the prompt is longer than the context", "prompt tokens", prompt, "context",
        info.context);
  const int64_t tokens = prompt + std::min(r.max_tokens, room);
  check(tokens <= info.cache_tokens, "request: it has more tokens than the key-value cache", "prompt tokens", prompt, "max_tokens",
        r.max_tokens, "cache", info.cache_tokens);
  check(r.min_tokens >= 0 && r.min_tokens <= r.max_tokens, "request: min_tokens lies between 0 and max_tokens", r.min_tokens, r.max_tokens);
  check(r.top_logprobs >= -1 && r.top_logprobs <= info.vocab_size, "request: top_logprobs is -1 or a number of tokens", r.top_logprobs,
        info.vocab_size);
  check(r.prompt_logprobs >= -1 && r.prompt_logprobs <= info.vocab_size, "request: prompt_logprobs is -1 or a number of tokens",
        r.prompt_logprobs, info.vocab_size);
  for (int32_t id : r.prompt) check_id(id, "request: a token of the prompt is outside of the vocabulary");
  for (int32_t id : r.logprob_token_ids) check_id(id, "request: logprob_token_ids names a token outside of the vocabulary");
  check_sampling(r.sampling, info.vocab_size);
}

}  // namespace infernum
