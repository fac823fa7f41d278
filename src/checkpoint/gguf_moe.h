// What configurations of mixtures share.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>

namespace infernum {

class GgufSource;
class ConfigView;
class GgufKeys;

namespace gguf_hooks {

/// Sets the number of experts, under Hugging Face's name for it, and num_experts_per_tok. Returns the former.
int64_t read_experts(const GgufSource& source, const char* count_key, nlohmann::json& config);
/// Refuses files whose expert_gating_func (1 softmax, 2 sigmoid, 3 softmax over the chosen; absent: `otherwise`) is not `only`.
void require_gating(const GgufSource& source, int64_t only, int64_t otherwise);
void require_unscaled(const GgufSource& source);
/// expert_count, expert_used_count and expert_feed_forward_length.
void write_experts(const ConfigView& config, GgufKeys& keys);

}  // namespace gguf_hooks
}  // namespace infernum
