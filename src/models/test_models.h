// Tiny checkpoints in memory for the tests of models: a Llama config and tensors that fit it.
#pragma once
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "checkpoint/checkpoint.h"
#include "core/check.h"

namespace infernum::test {

inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

/// H 8, two layers, 4 query and 2 key-value heads of 4, MLP of 12, vocabulary of 10.
inline nlohmann::json tiny_llama() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"vocab_size", 10},
          {"hidden_size", 8},
          {"intermediate_size", 12},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"head_dim", 4},
          {"max_position_embeddings", 64},
          {"rms_norm_eps", 1e-5},
          {"tie_word_embeddings", false}};
}

/// Random F32 values of a fixed seed.
inline StoredTensor random_tensor(const std::string& name, const Shape& shape) {
  auto values = std::make_shared<std::vector<float>>(static_cast<size_t>(shape.elements()));
  std::mt19937 rng(static_cast<unsigned>(name.size() + values->size()));
  for (float& v : *values) v = static_cast<float>(rng() % 2001) / 1000 - 1;
  return {name,   DType::F32, shape, reinterpret_cast<const std::byte*>(values->data()), static_cast<int64_t>(values->size() * 4),
          values, nullptr};
}

inline std::vector<std::pair<std::string, Shape>> tiny_llama_tensors() {
  std::vector<std::pair<std::string, Shape>> list{
      {"model.embed_tokens.weight", {10, 8}}, {"model.norm.weight", {8}}, {"lm_head.weight", {10, 8}}};
  for (const std::string layer : {"model.layers.0.", "model.layers.1."})
    for (const auto& [name, shape] : std::vector<std::pair<std::string, Shape>>{{"input_layernorm.weight", {8}},
                                                                                {"post_attention_layernorm.weight", {8}},
                                                                                {"self_attn.q_proj.weight", {16, 8}},
                                                                                {"self_attn.k_proj.weight", {8, 8}},
                                                                                {"self_attn.v_proj.weight", {8, 8}},
                                                                                {"self_attn.o_proj.weight", {8, 16}},
                                                                                {"mlp.gate_proj.weight", {12, 8}},
                                                                                {"mlp.up_proj.weight", {12, 8}},
                                                                                {"mlp.down_proj.weight", {8, 12}}})
      list.emplace_back(layer + name, shape);
  return list;
}

inline Checkpoint checkpoint_of(const nlohmann::json& config, const std::vector<std::pair<std::string, Shape>>& tensors = {}) {
  Checkpoint c;
  c.path = "memory";
  c.config_json = config.dump();
  for (const auto& [name, shape] : tensors) c.tensors.add(random_tensor(name, shape));
  return c;
}

}  // namespace infernum::test
