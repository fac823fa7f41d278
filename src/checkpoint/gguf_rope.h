// rope_parameters of config.json from the rope keys and tensors of a GGUF file.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "checkpoint/gguf.h"

namespace infernum {

struct GgufRope {
  std::string prefix;  ///< "<arch>."
  int64_t dims = 0;    ///< rotary dimensions of a head
  double default_theta = 10000.0;
  bool interleaved = false;     ///< rows of q and k in the order for pairs (2i, 2i+1)
  double log_multiplier = 1.0;  ///< yarn_log_multiplier is mscale_all_dim times this
  bool truncated_yarn = true;
};

nlohmann::json gguf_rope_parameters(const Gguf& gguf, const GgufRope& rope);

}  // namespace infernum
