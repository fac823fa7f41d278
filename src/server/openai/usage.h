// What a request used, and where its time went.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/engine.h"

namespace infernum::server::openai {

/// All figures of a request that came to its end, for metrics and logs. No text of prompt or answer.
struct RequestRecord {
  std::string_view route;     ///< "/v1/chat/completions"
  std::string model;          ///< the served model's name
  int status = 200;           ///< of HTTP; 499 if the client went; that of the error if it came within a stream
  std::string finish_reason;  ///< of the first choice: "stop", "length"; else the code of the error
  bool stream = false;
  int64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  int64_t choices = 0, max_tokens = 0;
  double seconds = 0;                                                 ///< from the handler's call to the end
  std::optional<double> first_token_seconds;                          ///< from the handler's call
  std::vector<float> token_gaps;                                      ///< seconds between the later tokens of each choice
  double queue_seconds = 0, prefill_seconds = 0, decode_seconds = 0;  ///< of the first choice, but for decode: the longest
  int preemptions = 0;
};

struct Usage {
  int64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
};

struct Timings {
  RequestBill bill;  ///< as in RequestRecord: queue, prefill and cache of the first choice; tokens and preemptions of all
  double total_seconds = 0;
};

}  // namespace infernum::server::openai

namespace infernum::server {
using openai::RequestRecord;
}
