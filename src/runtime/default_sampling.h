// The sampling that a checkpoint recommends: generation_config.json of a folder, general.sampling.* of a GGUF file.
#pragma once
#include <functional>
#include <set>
#include <string>

#include "checkpoint/checkpoint.h"
#include "runtime/sampler.h"

namespace infernum {

/// `asked`, with the checkpoint's recommendation in place of every parameter not in `given`: names as in SamplingParams, of temperature,
/// top_k, top_p, min_p, typical_p and repetition_penalty; suppress_tokens are the checkpoint's. Of a generation_config.json whose do_sample
/// is false, temperature is 0. Throws Error if a recommendation is no number or cannot be one; its range is for check_sampling to judge.
SamplingParams with_default_sampling(const Checkpoint& checkpoint, SamplingParams asked, const std::set<std::string, std::less<>>& given);

}  // namespace infernum
