// rope_parameters of config.json from the rope keys and tensors of a GGUF file.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "checkpoint/gguf.h"

namespace infernum {

/// A FLOAT32 written with the fewest digits that give it back: 1e-05, not 9.999999747378752e-06.
double shortest(double value);

struct GgufRope {
  std::string prefix;  ///< "<arch>."
  int64_t dims = 0;    ///< rotary dimensions of a head
  double default_theta = 10000.0;
  bool interleaved = false;  ///< rows of q and k in the order for pairs (2i, 2i+1)
};

nlohmann::json gguf_rope_parameters(const Gguf& gguf, const GgufRope& rope);

}  // namespace infernum
