// RequestRecord: what is known of a request when it has ended, for the metrics and the log. No prompt, no output.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/cache_limit.h"
#include "server/trace_parent.h"

namespace infernum::server {

/// One request of the API, whatever its number of choices.
struct RequestRecord {
  std::string_view route;  ///< "/v1/chat/completions"; of static storage
  std::string id;          ///< of the response
  std::optional<TraceParent> parent;
  std::string model;          ///< the served model's name
  int status = 200;           ///< of HTTP; 499 if the client went; that of the error if it came within a stream
  std::string finish_reason;  ///< of the first choice: "stop", "length"; else the code of the error
  bool stream = false;
  int64_t prompt_tokens = 0, cached_tokens = 0;
  int64_t completion_tokens = 0;  ///< of all choices
  int64_t longest_choice = 0;     ///< tokens
  int64_t choices = 1;
  int64_t max_tokens = 0;  ///< most of each choice
  float temperature = 1, top_p = 1, frequency_penalty = 0, presence_penalty = 0;
  int top_k = 0;
  CacheLimit cache_limit = CacheLimit::Unseen;
  int preemptions = 0;
  double queue_seconds = 0, prefill_seconds = 0, decode_seconds = 0;  ///< of the first choice, but for decode: the longest
  double seconds = 0;                                                 ///< from the request's arrival to the end of its answer
  std::optional<double> first_token_seconds;                          ///< from the request's arrival; nothing where no token came
  std::vector<float> token_gaps;                                      ///< seconds between the later tokens of each choice

  /// As the metrics count it: stop, length, abort (the client went, or the server shut down) or error.
  std::string_view outcome() const {
    if (status == 499 || finish_reason == "draining") return "abort";
    return status != 200 ? "error" : finish_reason == "length" ? "length" : "stop";
  }
};

}  // namespace infernum::server
