// The time of every op within the steps of a prompt or of decoding, beside its floor.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "bench_subject.h"
#include "floor.h"

namespace infernum::app {

struct OpUse {
  std::string op;
  double calls = 0, seconds = 0, bytes = 0, flops = 0, floor = 0;  ///< floor: seconds
};

struct Profile {
  std::string test;  ///< "pp512", "tg at 512"
  double seconds = 0;
  std::vector<OpUse> ops;  ///< per prompt, or per token
};

/// Of a prompt of these tokens, and of single tokens behind them.
Profile profile_prefill(const Subject& subject, const Processor& processor, std::span<const int32_t> tokens);
Profile profile_decode(const Subject& subject, const Processor& processor, std::span<const int32_t> tokens);

void print(const Profile& profile, const Processor& processor);
nlohmann::ordered_json to_json(const Profile& profile);

}  // namespace infernum::app
