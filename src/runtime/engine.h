// Engine: runs the requests of many clients on one model, token ids in, tokens out. Text, JSON and sockets are its callers' business.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "runtime/cache_limit.h"
#include "runtime/token_choice.h"

namespace infernum {

using RequestId = uint64_t;
using SteadyTime = std::chrono::steady_clock::time_point;

struct EngineRequest {
  std::vector<int32_t> prompt;
  SamplingParams sampling;
  int64_t max_tokens = 0;                    ///< 0: the prompt is only scored
  int64_t min_tokens = 0;                    ///< no stop id is chosen before so many
  std::vector<int32_t> stop_ids;             ///< end the generation; the chosen one is its last token
  int top_logprobs = -1;                     ///< alternatives per token; 0: the token's own logprob alone; -1: none
  int prompt_logprobs = -1;                  ///< the same for the tokens of the prompt
  bool processed_logprobs = false;           ///< of the distribution that is sampled from, not of the model's own; output tokens only
  std::vector<int32_t> logprob_token_ids;    ///< also listed in `top`, behind the most probable ones
  int priority = 0;                          ///< smaller ones first; equal ones by arrival
  std::string cache_salt;                    ///< prefixes are shared among requests of the same salt only
  std::optional<SteadyTime> queue_deadline;  ///< must have started by then
  std::optional<SteadyTime> deadline;        ///< must have ended by then
};

enum class EndReason {
  Stop,          ///< a stop id
  Length,        ///< max_tokens, or the context is full
  Cancelled,     ///< by cancel()
  QueueTimeout,  ///< not started by its queue_deadline
  Timeout,       ///< not done by its deadline
  Shutdown,      ///< the engine stopped first
  NotFinite,     ///< the model computed NaN or infinity for it
  OutOfMemory,   ///< not even one token of it alone fits the memory that steps have
  DeviceLost,    ///< the engine's device is gone, and the engine with it
  Fault,         ///< an exception while it was worked on
};

/// What a request's time went to. Seconds.
struct RequestBill {
  double queue_seconds = 0;    ///< from submit() to the first step
  double prefill_seconds = 0;  ///< from there to the first token
  double decode_seconds = 0;   ///< from there to the end
  int64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
  int preemptions = 0;
  CacheLimit cache_limit = CacheLimit::Unseen;
};

/// A bill of the times alone; what did not happen takes the place of what came after it.
RequestBill bill_of(SteadyTime submitted, std::optional<SteadyTime> started, std::optional<SteadyTime> first_token, SteadyTime end);

struct RequestEnd {
  EndReason reason = EndReason::Fault;
  std::string message;  ///< of a failure, fit for a client: no paths, no prompt text
  RequestBill bill;
  std::string cause = {};  ///< of a failure, for the operator
};

/// What a client is told of such a failure; empty if it is none.
std::string client_message(EndReason reason);

/// What one step did for one request.
struct EngineEvent {
  RequestId request = 0;
  std::vector<ScoredToken> prompt;  ///< once, with the first token, if prompt_logprobs was asked for
  std::vector<ScoredToken> tokens;  ///< usually one
  std::optional<RequestEnd> end;    ///< exactly once per accepted request; nothing comes after it
};

enum class EngineState { Running, Failed, Stopped };

/// How many steps computed how many tokens, of prompts and generated ones alike. Bounds of vLLM's iteration_tokens_total.
struct StepTokens {
  static constexpr std::array<int64_t, 13> bounds{1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};
  std::array<uint64_t, bounds.size() + 1> counts{};  ///< of steps with at most bounds[i] and more than bounds[i - 1]; the last one: more
  uint64_t sum = 0;

  void add(int64_t tokens) {
    size_t i = 0;
    while (i < bounds.size() && tokens > bounds[i]) i++;
    counts[i]++;
    sum += static_cast<uint64_t>(tokens);
  }
};

/// A snapshot, and totals since the start.
struct EngineStats {
  EngineState state = EngineState::Running;
  int64_t running = 0, waiting = 0;
  int64_t cache_blocks = 0,
          cache_blocks_used = 0;  ///< of the group that keeps everything; used: by requests, not by the prefix cache alone
  uint64_t steps = 0, preemptions = 0, prompt_tokens = 0, generated_tokens = 0;
  uint64_t prefix_queries = 0, prefix_hits = 0;  ///< tokens
  StepTokens step_tokens;                        ///< of steps that did not fail
  SteadyTime heartbeat;                          ///< last sign of life of the engine's thread
};

struct EngineInfo {
  int64_t vocab_size = 0;
  int64_t context = 0;       ///< longest sequence
  int64_t cache_tokens = 0;  ///< of all sequences together
  int64_t max_sequences = 0;
};

enum class Admission { Accepted, QueueFull, Stopped };

class Engine {
 public:
  virtual ~Engine() = default;
  virtual const EngineInfo& info() const = 0;
  /// All events of a step in one call, on the engine's thread; it must not block. To be set before the first submit().
  virtual void on_step(std::function<void(std::vector<EngineEvent>)> handler) = 0;
  /// Hands a request over under an id that the caller chose and uses once. Throws Error, naming the rule, if the request can never run.
  /// May be called from any thread, as may the following.
  virtual Admission submit(RequestId id, EngineRequest request) = 0;
  /// The request ends within a step, as Cancelled unless it ended otherwise before; unknown ids are none of its business.
  virtual void cancel(RequestId id) = 0;
  virtual EngineStats stats() const = 0;
  /// Ends every request as Shutdown and joins the thread, so it is not for the handler of on_step(). Idempotent.
  virtual void stop() = 0;
};

/// Throws, naming the rule and the values, if `request` can never run on such an engine.
void check_engine_request(const EngineRequest& request, const EngineInfo& info);

}  // namespace infernum
