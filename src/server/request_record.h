// RequestRecord: what is known of a request when it has ended, for the metrics and the log. No prompt, no output.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/engine.h"

namespace infernum::server {

enum class RequestFinish {
  Stop,    ///< a stop id or string, or a tool call
  Length,  ///< max_tokens, or the context is full
  Abort,   ///< the client went, or the server shut down
  Error,   ///< a fault, a timeout, NaN
};

/// One request of the API, whatever its number of choices.
struct RequestRecord {
  std::string route;  ///< as in the table of routes: "/v1/chat/completions"
  std::string model;  ///< a served name
  int status = 200;
  RequestFinish finish = RequestFinish::Stop;
  int64_t prompt_tokens = 0, cached_tokens = 0;
  int64_t generated_tokens = 0;       ///< of all choices
  int64_t most_generated_tokens = 0;  ///< of the longest choice
  int64_t n = 1;
  std::optional<int64_t> max_tokens;  ///< where the client named one
  CacheLimit cache_limit = CacheLimit::Unseen;
  int preemptions = 0;
  double queue_seconds = 0, prefill_seconds = 0, decode_seconds = 0;
  double total_seconds = 0;                           ///< from the request's arrival to the end of its answer
  std::optional<double> time_to_first_token_seconds;  ///< from the request's arrival; nothing where no token came
  std::vector<float> inter_token_seconds;             ///< gaps between tokens of one choice; empty if observed as they came
};

}  // namespace infernum::server
