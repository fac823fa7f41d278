// The table of families that have GGUF files: a new one is an entry here.
#include <algorithm>
#include <cctype>
#include <string>

#include "checkpoint/gguf_family.h"
#include "checkpoint/gguf_hooks.h"
#include "checkpoint/gguf_source.h"
#include "checkpoint/gguf_tensor_rows.h"

namespace infernum {
namespace {

using namespace gguf_rows;
namespace hooks = gguf_hooks;
using enum GgufKind;

constexpr GgufKey granite_keys[] = {{"attention_multiplier", "attention.scale", Number},
                                    {"embedding_multiplier", "embedding_scale", Number},
                                    {"residual_multiplier", "residual_scale", Number},
                                    {"logits_scaling", "logit_scale", Number}};
constexpr GgufKey cohere_keys[] = {{"logit_scale", "logit_scale", Number}, {"layer_norm_eps", "attention.layer_norm_epsilon", Number}};
constexpr GgufKey softcap_keys[] = {{"attn_logit_softcapping", "attn_logit_softcapping", Number},
                                    {"final_logit_softcapping", "final_logit_softcapping", Number}};
constexpr GgufKey gemma4_keys[] = {{"final_logit_softcapping", "final_logit_softcapping", Number},
                                   {"hidden_size_per_layer_input", "embedding_length_per_layer_input", Integer},
                                   {"num_kv_shared_layers", "attention.shared_kv_layers", Integer}};
/// Mixtures whose first layers are dense and which choose experts by groups.
constexpr GgufKey grouped_keys[] = {
    {"n_group", "expert_group_count", Integer},           {"topk_group", "expert_group_used_count", Integer},
    {"n_shared_experts", "expert_shared_count", Integer}, {"first_k_dense_replace", "leading_dense_block_count", Integer},
    {"norm_topk_prob", "expert_weights_norm", Flag},      {"routed_scaling_factor", "expert_weights_scale", Number}};
constexpr GgufKey norm_keys[] = {{"norm_topk_prob", "expert_weights_norm", Flag}};
constexpr GgufKey llama4_keys[] = {{"interleave_moe_layer_step", "interleave_moe_layer_step", Integer},
                                   {"floor_scale", "attention.temperature_length", Integer},
                                   {"attn_scale", "attention.temperature_scale", Number}};

bool has_experts(const GgufSource& s) { return s.find("expert_count", 0).value_or(0) > 0; }
bool has_window(const GgufSource& s) { return s.find("attention.sliding_window", 0).value_or(0) > 0; }
bool has_sigmoid_router(const GgufSource& s) { return s.find("expert_gating_func", 0).value_or(0) == 2; }

constexpr std::string_view latent_v3 = R"({"hidden_act":"silu","rope_interleave":true,"scoring_func":"sigmoid","norm_topk_prob":false,
  "first_k_dense_replace":0,"routed_scaling_factor":1.0,"n_shared_experts":0})";
constexpr std::string_view latent_v2 = R"({"hidden_act":"silu","scoring_func":"softmax","norm_topk_prob":false,
  "first_k_dense_replace":0,"routed_scaling_factor":1.0,"n_shared_experts":0,"moe_layer_freq":1})";
constexpr std::string_view delta_net = R"({"full_attention_interval":4})";
constexpr std::string_view delta_net_moe = R"({"full_attention_interval":4,"norm_topk_prob":true,"decoder_sparse_step":1,
  "mlp_only_layers":[]})";

constexpr GgufFamily families[] = {
    {.model_type = "mixtral",
     .architecture = "MixtralForCausalLM",
     .arch = "llama",
     .tensors = {mixtral_experts, paired_heads, pre_norms, decoder},
     .interleaved = true,
     .read = hooks::read_mixtral,
     .write = hooks::write_mixtral,
     .is = has_experts},
    {.model_type = "mistral",
     .architecture = "MistralForCausalLM",
     .arch = "llama",
     .tensors = {paired_heads, pre_norms, decoder},
     .interleaved = true,
     .read = hooks::read_mistral,
     .write = hooks::write_mistral,
     .is = has_window},
    {.model_type = "llama",
     .architecture = "LlamaForCausalLM",
     .arch = "llama",
     .tensors = {paired_heads, pre_norms, decoder},
     .interleaved = true,
     .read = hooks::read_llama},
    {.model_type = "qwen2",
     .architecture = "Qwen2ForCausalLM",
     .arch = "qwen2",
     .tensors = {every_layer_has_attention, pre_norms, decoder},
     .constants = R"({"use_sliding_window":false})",
     .write = hooks::write_qwen},
    {.model_type = "qwen3",
     .architecture = "Qwen3ForCausalLM",
     .arch = "qwen3",
     .tensors = {every_layer_has_attention, pre_norms, decoder},
     .constants = R"({"use_sliding_window":false})",
     .read = hooks::read_qwen,
     .write = hooks::write_qwen},
    {.model_type = "qwen3_moe",
     .architecture = "Qwen3MoeForCausalLM",
     .arch = "qwen3moe",
     .tensors = {experts, every_layer_has_attention, pre_norms, decoder},
     .keys = {norm_keys},
     .constants = R"({"use_sliding_window":false,"norm_topk_prob":true,"decoder_sparse_step":1})",  // true in every released model
     .read = hooks::read_qwen3_moe,
     .write = hooks::write_qwen3_moe},
    {.model_type = "ministral3",
     .architecture = "Ministral3ForCausalLM",
     .arch = "mistral3",
     .tensors = {paired_heads, pre_norms, decoder},
     .interleaved = true,
     .read = hooks::read_ministral,
     .write = hooks::write_ministral,
     .writes_log_multiplier = true},
    {.model_type = "smollm3",
     .architecture = "SmolLM3ForCausalLM",
     .arch = "smollm3",
     .tensors = {paired_heads, pre_norms, decoder},
     .interleaved = true,
     .constants = R"({"no_rope_layer_interval":4,"use_sliding_window":false})",
     .read = hooks::read_smollm,
     .write = hooks::write_smollm,
     .tied = true},
    {.model_type = "granite",
     .architecture = "GraniteForCausalLM",
     .arch = "granite",
     .tensors = {paired_heads, pre_norms, decoder},
     .interleaved = true,
     .keys = {granite_keys},
     .read = hooks::read_llama},
    {.model_type = "hunyuan_v1_dense",
     .architecture = "HunYuanDenseV1ForCausalLM",
     .arch = "hunyuan-dense",
     .tensors = {hunyuan_norms, every_layer_has_attention, pre_norms, decoder},
     .read = hooks::read_qkv_bias,
     .write = hooks::write_hunyuan},
    {.model_type = "ernie4_5",
     .architecture = "Ernie4_5ForCausalLM",
     .arch = "ernie4_5",
     .tensors = {every_layer_has_attention, pre_norms, decoder},
     .interleaved = true,
     .read = hooks::read_ernie},
    {.model_type = "seed_oss",
     .architecture = "SeedOssForCausalLM",
     .arch = "seed_oss",
     .tensors = {every_layer_has_attention, misnamed_pre_norms, decoder},
     .read = hooks::read_seed},
    {.model_type = "cohere2",
     .architecture = "Cohere2ForCausalLM",
     .arch = "cohere2",
     .tensors = {every_layer_has_attention, one_norm, decoder},
     .interleaved = true,
     .keys = {cohere_keys},
     .constants = R"({"attention_bias":false})",
     .read = hooks::read_cohere,
     .write = hooks::write_cohere,
     .rms_norm = false,
     .tied = true},
    {.model_type = "glm4",
     .architecture = "Glm4ForCausalLM",
     .arch = "glm4",
     .tensors = {every_layer_has_attention, glm4_norms, fused_mlp, decoder},
     .interleaved = true,
     .partial_rotary_factor = 0.5,
     .read = hooks::read_qkv_bias},
    {.model_type = "olmo3",
     .architecture = "Olmo3ForCausalLM",
     .arch = "olmo2",
     .tensors = {every_layer_has_attention, post_norms, decoder},
     .constants = R"({"attention_bias":false})",
     .read = hooks::read_olmo3,
     .write = hooks::write_olmo3,
     .is = has_window},
    {.model_type = "olmo2",
     .architecture = "Olmo2ForCausalLM",
     .arch = "olmo2",
     .tensors = {every_layer_has_attention, post_norms, decoder},
     .constants = R"({"attention_bias":false})"},
    {.model_type = "phi3",
     .architecture = "Phi3ForCausalLM",
     .arch = "phi3",
     .tensors = {fused_qkv, fused_mlp, pre_norms, decoder},
     .read = hooks::read_phi,
     .write = hooks::write_phi,
     .stripping_names = {"phi-3", "phi3"}},
    {.model_type = "gemma2",
     .architecture = "Gemma2ForCausalLM",
     .arch = "gemma2",
     .tensors = {gemma_norms, every_layer_has_attention, decoder},
     .keys = {softcap_keys},
     .constants = R"({"hidden_activation":"gelu_pytorch_tanh","sliding_window":4096,"attn_logit_softcapping":50.0,
       "final_logit_softcapping":30.0})",
     .read = hooks::read_gemma2,
     .write = hooks::write_gemma2,
     .tied = true,
     .begins_with_bos = true},
    {.model_type = "gemma3_text",
     .architecture = "Gemma3ForCausalLM",
     .arch = "gemma3",
     .tensors = {gemma_norms, every_layer_has_attention, decoder},
     .keys = {softcap_keys},
     .constants = R"({"hidden_activation":"gelu_pytorch_tanh","attn_logit_softcapping":null,"final_logit_softcapping":null})",
     .rope_theta = 1e6,
     .read = hooks::read_gemma3,
     .write = hooks::write_gemma3,
     .tied = true,
     .begins_with_bos = true},
    {.model_type = "gemma4_text",
     .architecture = "Gemma4ForCausalLM",
     .arch = "gemma4",
     .tensors = {gemma4_rows, decoder},
     .keys = {gemma4_keys},
     .constants = R"({"hidden_activation":"gelu_pytorch_tanh","final_logit_softcapping":null,"num_kv_shared_layers":0,
       "hidden_size_per_layer_input":0})",
     .heads = GgufHeads::Own,
     .rope_theta = 1e6,
     .read = hooks::read_gemma4,
     .write = hooks::write_gemma4,
     .tied = true,
     .proportional_rope = true,
     .begins_with_bos = true},
    {.model_type = "gpt_oss",
     .architecture = "GptOssForCausalLM",
     .arch = "gpt-oss",
     .tensors = {gpt_oss_rows, every_layer_has_attention, misnamed_pre_norms, decoder},
     .constants = R"({"attention_bias":true,"swiglu_limit":7.0,"sliding_window":128})",
     .truncated_yarn = false,
     .read = hooks::read_gpt_oss,
     .write = hooks::write_gpt_oss},
    {.model_type = "glm4_moe",
     .architecture = "Glm4MoeForCausalLM",
     .arch = "glm4moe",
     .tensors = {experts, shared_experts, every_layer_has_attention, misnamed_pre_norms, decoder},
     .keys = {grouped_keys},
     .constants = R"({"n_group":1,"topk_group":1,"norm_topk_prob":false,"first_k_dense_replace":0,"routed_scaling_factor":1.0,
       "n_shared_experts":0})",
     .partial_rotary_factor = 0.5,
     .read = hooks::read_glm4_moe,
     .write = hooks::write_glm4_moe},
    {.model_type = "llama4_text",
     .architecture = "Llama4ForCausalLM",
     .arch = "llama4",
     .tensors = {llama4_rows, every_layer_has_attention, pre_norms, decoder},
     .interleaved = true,
     .keys = {llama4_keys},
     .constants = R"({"floor_scale":8192,"attn_scale":0.1,"attention_bias":false})",
     .read = hooks::read_llama4,
     .write = hooks::write_llama4},
    {.model_type = "deepseek_v3",
     .architecture = "DeepseekV3ForCausalLM",
     .arch = "deepseek2",
     .tensors = {experts, shared_experts, latent_attention, pre_norms, decoder},
     .interleaved = true,
     .keys = {grouped_keys},
     .constants = latent_v3,
     .heads = GgufHeads::Own,
     .log_multiplier = 0.1,
     .read = hooks::read_deepseek,
     .write = hooks::write_deepseek,
     .is = has_sigmoid_router,
     .writes_log_multiplier = true},
    {.model_type = "deepseek_v2",
     .architecture = "DeepseekV2ForCausalLM",
     .arch = "deepseek2",
     .tensors = {experts, shared_experts, latent_attention, pre_norms, decoder},
     .interleaved = true,
     .keys = {grouped_keys},
     .constants = latent_v2,
     .heads = GgufHeads::Own,
     .log_multiplier = 0.1,
     .read = hooks::read_deepseek,
     .write = hooks::write_deepseek,
     .writes_log_multiplier = true},
    {.model_type = "qwen3_next",
     .architecture = "Qwen3NextForCausalLM",
     .arch = "qwen3next",
     .tensors = {zero_centred_norms, grouped_delta_net, experts, gated_shared_expert, decoder},
     .constants = delta_net_moe,
     .partial_rotary_factor = 0.25,
     .read = hooks::read_hybrid_moe,
     .write = hooks::write_hybrid_moe},
    {.model_type = "qwen3_5_text",
     .architecture = "Qwen3_5ForCausalLM",
     .arch = "qwen35",
     .tensors = {zero_centred_norms, tiled_delta_net, decoder},
     .constants = delta_net,
     .partial_rotary_factor = 0.25,
     .read = hooks::read_tiled_hybrid,
     .write = hooks::write_tiled_hybrid},
    {.model_type = "qwen3_5_moe_text",
     .architecture = "Qwen3_5MoeForCausalLM",
     .arch = "qwen35moe",
     .tensors = {zero_centred_norms, tiled_delta_net, experts, gated_shared_expert, decoder},
     .constants = delta_net_moe,
     .partial_rotary_factor = 0.25,
     .read = hooks::read_tiled_hybrid_moe,
     .write = hooks::write_tiled_hybrid_moe},
};

/// Names under which config.json of a family is also found.
constexpr std::string_view aliases[][2] = {{"kimi_k2", "deepseek_v3"}, {"gemma3", "gemma3_text"},   {"gemma4", "gemma4_text"},
                                           {"llama4", "llama4_text"},  {"qwen3_5", "qwen3_5_text"}, {"qwen3_5_moe", "qwen3_5_moe_text"}};

}  // namespace

std::span<const GgufFamily> gguf_families() { return families; }

const GgufFamily* find_gguf_family(std::string_view model_type) {
  for (const auto& [alias, name] : aliases)
    if (model_type == alias) model_type = name;
  const auto* family =
      std::find_if(std::begin(families), std::end(families), [&](const GgufFamily& f) { return f.model_type == model_type; });
  return family == std::end(families) ? nullptr : family;
}

bool added_tokens_strip_right(std::string_view general_name) {
  std::string name(general_name);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const GgufFamily& family : families)
    for (const std::string_view part : family.stripping_names)
      if (!part.empty() && name.find(part) != std::string::npos) return true;
  return false;
}

}  // namespace infernum
