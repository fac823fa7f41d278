// From the tensors of a Hugging Face checkpoint to those of a GGUF file.
#include "checkpoint/convert_plan.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "checkpoint/convert_config.h"
#include "checkpoint/gguf_names.h"
#include "checkpoint/tensor_names.h"
#include "core/check.h"

namespace infernum {
namespace {

constexpr struct {
  std::string_view model_type, architecture;
} families[] = {{"llama", "llama"}, {"mistral", "llama"}, {"mixtral", "llama"},
                {"qwen2", "qwen2"}, {"qwen3", "qwen3"},   {"qwen3_moe", "qwen3moe"}};

/// "blk.3.ffn_up.7.weight" -> expert 7 of "blk.3.ffn_up_exps.weight".
struct ExpertName {
  std::string stacked;
  size_t expert;
};
std::optional<ExpertName> expert_name(const std::string& name) {
  for (const std::string_view kind : {"ffn_gate.", "ffn_up.", "ffn_down."}) {
    const size_t at = name.find(kind);
    if (at == std::string::npos) continue;
    const char *begin = name.data() + at + kind.size(), *end = name.data() + name.size();
    size_t expert = 0;
    const auto [rest, error] = std::from_chars(begin, end, expert);
    if (error != std::errc() || std::string_view(rest, end) != ".weight") continue;
    return ExpertName{name.substr(0, at + kind.size() - 1) + "_exps.weight", expert};
  }
  return std::nullopt;
}

/// The layer of "blk.N....", -1 for other names.
int gguf_layer(std::string_view name) {
  int layer = -1;
  if (name.substr(0, 4) == "blk.") std::from_chars(name.data() + 4, name.data() + name.size(), layer);
  return layer;
}

struct ByLayer {
  bool operator()(const std::string& a, const std::string& b) const {
    return std::pair(gguf_layer(a), std::string_view(a)) < std::pair(gguf_layer(b), std::string_view(b));
  }
};
using Parts = std::map<std::string, std::vector<const StoredTensor*>, ByLayer>;

Parts collect(const TensorSource& source, const std::string& model_type, int64_t layers, int64_t experts, bool tied) {
  Parts parts;
  for (const StoredTensor& tensor : source) {
    if (ignorable(tensor.name, static_cast<int>(layers)) || (tied && tensor.name == "lm_head.weight")) continue;
    const auto name = gguf_name(tensor.name, model_type);
    if (!name) fail("the tensor has no place in a GGUF file of the family", model_type, tensor.name);
    check(gguf_layer(*name) < layers, "the layer of a tensor is beyond num_hidden_layers", tensor.name, layers);
    size_t index = 0;
    std::string key = *name;
    if (const auto expert = expert_name(*name)) {
      check(static_cast<int64_t>(expert->expert) < experts, "the expert of a tensor is beyond the number of experts", tensor.name, experts);
      key = expert->stacked;
      index = expert->expert;
      parts[key].resize(static_cast<size_t>(experts));
    } else {
      parts[key].resize(1);
    }
    check(parts[key][index] == nullptr, "two tensors for one place", tensor.name, key);
    parts[key][index] = &tensor;
  }
  return parts;
}

void require_all(const Parts& parts, int64_t layers, bool tied) {
  const auto require = [&](const std::string& name) {
    check(parts.count(name + ".weight") == 1, "the checkpoint lacks the tensor for", name + ".weight");
  };
  require("token_embd");
  require("output_norm");
  if (!tied) require("output");
  for (int64_t i = 0; i < layers; ++i) {
    const std::string blk = "blk." + std::to_string(i) + ".";
    for (const char* name : {"attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm"}) require(blk + name);
    const bool routed = parts.count(blk + "ffn_gate_inp.weight") == 1;
    for (const char* name : {"ffn_gate", "ffn_up", "ffn_down"}) require(blk + name + (routed ? "_exps" : ""));
  }
}

OutputTensor stack(const std::string& name, const std::vector<const StoredTensor*>& parts) {
  OutputTensor out{name, DType::F32, {}, parts, 0, {}};
  for (size_t e = 0; e < parts.size(); ++e) {
    check(parts[e] != nullptr, "the checkpoint lacks expert", e, "of", name);
    check(parts[e]->shape == parts[0]->shape, "experts differ in shape", parts[e]->name, parts[e]->shape, "but", parts[0]->name,
          parts[0]->shape);
  }
  const bool experts = name.find("_exps.") != std::string::npos;
  if (experts && parts[0]->shape.rank() == 2) out.shape.push_back(static_cast<int64_t>(parts.size()));
  for (int i = 0; i < parts[0]->shape.rank(); ++i) out.shape.push_back(parts[0]->shape[i]);
  return out;
}

}  // namespace

std::string gguf_architecture(const std::string& model_type) {
  std::string known;
  for (const auto& family : families) {
    if (family.model_type == model_type) return std::string(family.architecture);
    known += (known.empty() ? "" : ", ") + std::string(family.model_type);
  }
  fail("this family cannot be written as GGUF", model_type, "known are", known);
}

std::vector<OutputTensor> plan_tensors(const nlohmann::json& config, const TensorSource& source) {
  const ConfigReader read(config);
  const std::string model_type = read.text("model_type");
  const int64_t layers = read.integer("num_hidden_layers", 1, 4096), vocab_size = read.integer("vocab_size");
  const int64_t experts = read.find_integer({"num_local_experts", "num_experts"}, 0, 65536).value_or(0);
  const bool tied = read.flag("tie_word_embeddings", false), permute = gguf_architecture(model_type) == "llama";
  const Parts parts = collect(source, model_type, layers, experts, tied);
  require_all(parts, layers, tied);

  std::vector<OutputTensor> tensors;
  for (const auto& [name, sources] : parts) {
    OutputTensor out = stack(name, sources);
    const bool q = name.find(".attn_q.") != std::string::npos, k = name.find(".attn_k.") != std::string::npos;
    if (permute && (q || k)) {
      out.permuted_heads = q ? read.integer("num_attention_heads") : read.kv_heads();
      check(out.shape.rank() <= 2 && out.shape[0] == out.permuted_heads * read.head_dim() && read.head_dim() % 2 == 0,
            "the rows of a projection are heads times head_dim", sources[0]->name, out.shape, "heads", out.permuted_heads, "head_dim",
            read.head_dim());
    }
    if (name == "token_embd.weight")
      check(out.shape == Shape{vocab_size, read.integer("hidden_size")}, "the embedding is (vocab_size, hidden_size)", out.shape,
            "config.json has", vocab_size, read.integer("hidden_size"));
    tensors.push_back(std::move(out));
  }
  return tensors;
}

}  // namespace infernum
