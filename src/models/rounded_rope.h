// Rotary frequencies rounded to bfloat16: what a reference run has whose whole model, buffers included, was cast to bfloat16 and back.
#pragma once
#include <string>

namespace infernum {

/// The config with `inv_freq_divisors` that turn the exact frequencies into their bfloat16 roundings. For comparison with such recordings
/// only: the reference implementation and this engine keep frequencies in f32.
std::string with_bf16_frequencies(const std::string& config_json);

}  // namespace infernum
