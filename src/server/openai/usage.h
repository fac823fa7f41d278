// What a request used, and where its time went.
#pragma once
#include <cstdint>

#include "runtime/engine.h"

namespace infernum::server::openai {

struct Usage {
  int64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
};

struct Timings {
  RequestBill bill;  ///< as in RequestRecord: queue, prefill and cache of the first choice; tokens and preemptions of all
  double total_seconds = 0;
};

}  // namespace infernum::server::openai
