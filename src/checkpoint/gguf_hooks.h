// The part of a family's configuration that is no plain list of keys: one function for each direction.
#pragma once
#include <nlohmann/json_fwd.hpp>

namespace infernum {

class GgufSource;
class ConfigView;
class GgufKeys;

namespace gguf_hooks {

// Dense decoders: gguf_dense.cpp.
void read_llama(const GgufSource&, nlohmann::json&);
void read_mistral(const GgufSource&, nlohmann::json&);
void write_mistral(const ConfigView&, GgufKeys&);
void read_qkv_bias(const GgufSource&, nlohmann::json&);
void read_qwen(const GgufSource&, nlohmann::json&);
void write_qwen(const ConfigView&, GgufKeys&);
void read_ministral(const GgufSource&, nlohmann::json&);
void write_ministral(const ConfigView&, GgufKeys&);
void read_olmo3(const GgufSource&, nlohmann::json&);
void write_olmo3(const ConfigView&, GgufKeys&);
void read_cohere(const GgufSource&, nlohmann::json&);
void write_cohere(const ConfigView&, GgufKeys&);
void read_phi(const GgufSource&, nlohmann::json&);
void write_phi(const ConfigView&, GgufKeys&);
void read_smollm(const GgufSource&, nlohmann::json&);
void write_smollm(const ConfigView&, GgufKeys&);
void read_ernie(const GgufSource&, nlohmann::json&);
void read_seed(const GgufSource&, nlohmann::json&);
void write_hunyuan(const ConfigView&, GgufKeys&);

// gguf_gemma.cpp
void read_gemma2(const GgufSource&, nlohmann::json&);
void write_gemma2(const ConfigView&, GgufKeys&);
void read_gemma3(const GgufSource&, nlohmann::json&);
void write_gemma3(const ConfigView&, GgufKeys&);
void read_gemma4(const GgufSource&, nlohmann::json&);
void write_gemma4(const ConfigView&, GgufKeys&);

// Mixtures: gguf_moe.cpp.
void read_mixtral(const GgufSource&, nlohmann::json&);
void write_mixtral(const ConfigView&, GgufKeys&);
void read_qwen3_moe(const GgufSource&, nlohmann::json&);
void write_qwen3_moe(const ConfigView&, GgufKeys&);
void read_gpt_oss(const GgufSource&, nlohmann::json&);
void write_gpt_oss(const ConfigView&, GgufKeys&);
void read_glm4_moe(const GgufSource&, nlohmann::json&);
void write_glm4_moe(const ConfigView&, GgufKeys&);
void read_llama4(const GgufSource&, nlohmann::json&);
void write_llama4(const ConfigView&, GgufKeys&);

// Latent attention: gguf_deepseek.cpp.
void read_deepseek(const GgufSource&, nlohmann::json&);
void write_deepseek(const ConfigView&, GgufKeys&);

// Gated delta networks: gguf_hybrid.cpp.
void read_hybrid(const GgufSource&, nlohmann::json&);
void write_hybrid(const ConfigView&, GgufKeys&);
void read_tiled_hybrid(const GgufSource&, nlohmann::json&);
void write_tiled_hybrid(const ConfigView&, GgufKeys&);
void read_hybrid_moe(const GgufSource&, nlohmann::json&);
void write_hybrid_moe(const ConfigView&, GgufKeys&);
void read_tiled_hybrid_moe(const GgufSource&, nlohmann::json&);
void write_tiled_hybrid_moe(const ConfigView&, GgufKeys&);

}  // namespace gguf_hooks
}  // namespace infernum
