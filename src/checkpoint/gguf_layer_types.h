// Which layers see a window, in the two spellings: layer_types of config.json, a period or a list of flags in metadata.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <vector>

namespace infernum {

class GgufSource;
class ConfigView;
class GgufKeys;

/// Sets sliding_window (null: none) and layer_types. `period`: what the architecture implies, every so many layers the last one sees all;
/// 0 means that none does.
void read_layer_types(const GgufSource& source, int64_t period, nlohmann::json& config);
/// attention.sliding_window, and attention.sliding_window_pattern where it is not the implied one.
void write_layer_types(const ConfigView& config, int64_t period, GgufKeys& keys);

/// rope_parameters with one entry for each type of layer; that of the sliding layers is unscaled, with rope.freq_base_swa or, without it,
/// `local_theta` (0: that of the full layers).
void read_nested_rope(const GgufSource& source, double local_theta, nlohmann::json& config);
/// rope.freq_base_swa from either spelling of config.json.
void write_nested_rope(const ConfigView& config, GgufKeys& keys);

/// The period of the layers whose flag is false: flag i says i % period < period - 1. 0: all flags are set; -1: there is none.
int64_t period_of(const std::vector<bool>& flags);

}  // namespace infernum
