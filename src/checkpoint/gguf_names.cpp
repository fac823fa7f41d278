#include "checkpoint/gguf_names.h"

#include <algorithm>

namespace infernum {
namespace {

/// N stands for the layer and E for the expert. `model_type` empty: every family whose own rows do not name the same tensor.
struct NameRow {
  std::string_view gguf, hugging_face, model_type;
};

// A name is a row and its last part (weight or bias). llama.cpp: gguf-py/gguf/tensor_mapping.py names the same pairs.
constexpr NameRow rows[] = {
    {"blk.N.ffn_gate_inp", "model.layers.N.block_sparse_moe.gate", "mixtral"},
    {"blk.N.ffn_gate_exps", "model.layers.N.block_sparse_moe.experts.w1", "mixtral"},
    {"blk.N.ffn_up_exps", "model.layers.N.block_sparse_moe.experts.w3", "mixtral"},
    {"blk.N.ffn_down_exps", "model.layers.N.block_sparse_moe.experts.w2", "mixtral"},
    {"blk.N.ffn_gate.E", "model.layers.N.block_sparse_moe.experts.E.w1", "mixtral"},
    {"blk.N.ffn_up.E", "model.layers.N.block_sparse_moe.experts.E.w3", "mixtral"},
    {"blk.N.ffn_down.E", "model.layers.N.block_sparse_moe.experts.E.w2", "mixtral"},

    {"token_embd", "model.embed_tokens", ""},
    {"output_norm", "model.norm", ""},
    {"output", "lm_head", ""},
    {"blk.N.attn_norm", "model.layers.N.input_layernorm", ""},
    {"blk.N.attn_q", "model.layers.N.self_attn.q_proj", ""},
    {"blk.N.attn_k", "model.layers.N.self_attn.k_proj", ""},
    {"blk.N.attn_v", "model.layers.N.self_attn.v_proj", ""},
    {"blk.N.attn_output", "model.layers.N.self_attn.o_proj", ""},
    {"blk.N.attn_q_norm", "model.layers.N.self_attn.q_norm", ""},
    {"blk.N.attn_k_norm", "model.layers.N.self_attn.k_norm", ""},
    {"blk.N.ffn_norm", "model.layers.N.post_attention_layernorm", ""},
    {"blk.N.ffn_gate", "model.layers.N.mlp.gate_proj", ""},
    {"blk.N.ffn_up", "model.layers.N.mlp.up_proj", ""},
    {"blk.N.ffn_down", "model.layers.N.mlp.down_proj", ""},
    {"blk.N.ffn_gate_inp", "model.layers.N.mlp.gate", ""},
    {"blk.N.ffn_gate_exps", "model.layers.N.mlp.experts.gate_proj", ""},
    {"blk.N.ffn_up_exps", "model.layers.N.mlp.experts.up_proj", ""},
    {"blk.N.ffn_down_exps", "model.layers.N.mlp.experts.down_proj", ""},
    {"blk.N.ffn_gate.E", "model.layers.N.mlp.experts.E.gate_proj", ""},
    {"blk.N.ffn_up.E", "model.layers.N.mlp.experts.E.up_proj", ""},
    {"blk.N.ffn_down.E", "model.layers.N.mlp.experts.E.down_proj", ""},
};

bool is_number(std::string_view text) {
  return !text.empty() && text.size() < 6 && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

struct Numbers {
  std::string_view layer, expert;
};

std::string_view next_part(std::string_view& rest) {
  const size_t dot = std::min(rest.find('.'), rest.size());
  const std::string_view part = rest.substr(0, dot);
  rest.remove_prefix(std::min(dot + 1, rest.size()));
  return part;
}

/// Compares part by part; N and E of the pattern take numbers.
std::optional<Numbers> match(std::string_view pattern, std::string_view name) {
  Numbers numbers;
  while (!pattern.empty() && !name.empty()) {
    const std::string_view wanted = next_part(pattern), part = next_part(name);
    if (wanted == "N" || wanted == "E") {
      if (!is_number(part)) return std::nullopt;
      (wanted == "N" ? numbers.layer : numbers.expert) = part;
    } else if (wanted != part) {
      return std::nullopt;
    }
  }
  return pattern.empty() && name.empty() ? std::optional(numbers) : std::nullopt;
}

std::string fill(std::string_view pattern, const Numbers& numbers) {
  std::string name;
  while (!pattern.empty()) {
    const std::string_view part = next_part(pattern);
    name += (name.empty() ? "" : ".");
    name += part == "N" ? numbers.layer : part == "E" ? numbers.expert : part;
  }
  return name;
}

std::optional<std::string> translate(std::string_view name, std::string_view model_type, std::string_view NameRow::*from,
                                     std::string_view NameRow::*to) {
  const size_t dot = name.rfind('.');
  if (dot == name.npos) return std::nullopt;
  const std::string_view kind = name.substr(dot + 1);
  if (kind != "weight" && kind != "bias") return std::nullopt;
  for (const bool own : {true, false}) {
    for (const NameRow& row : rows) {
      if (own ? row.model_type != model_type : !row.model_type.empty()) continue;
      if (const auto numbers = match(row.*from, name.substr(0, dot))) return fill(row.*to, *numbers).append(".").append(kind);
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> hugging_face_name(std::string_view name, std::string_view model_type) {
  return translate(name, model_type, &NameRow::gguf, &NameRow::hugging_face);
}

std::optional<std::string> gguf_name(std::string_view name, std::string_view model_type) {
  return translate(name, model_type, &NameRow::hugging_face, &NameRow::gguf);
}

}  // namespace infernum
