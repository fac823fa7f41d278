#include "checkpoint/gguf_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_set>

#include "checkpoint/gguf_rope.h"
#include "checkpoint/side_files.h"
#include "checkpoint/text_file.h"
#include "core/check.h"
#include "core/log.h"

namespace infernum {
namespace {

using nlohmann::json;

constexpr int64_t most_layers = 4096, largest = INT32_MAX;

/// Metadata under the architecture's prefix, and questions about tensors.
class Source {
 public:
  Source(const Gguf& file, std::string_view arch) : gguf(file), metadata(*file.metadata), prefix(std::string(arch) + ".") {
    for (const StoredTensor& tensor : file.tensors) names_.insert(tensor.name);
    // Read by gguf_rope_parameters(), or without effect.
    for (const char* name : {"rope.freq_base", "rope.scale_linear", "rope.scaling.type", "rope.scaling.factor",
                             "rope.scaling.original_context_length", "rope.scaling.attn_factor", "rope.scaling.yarn_beta_fast",
                             "rope.scaling.yarn_beta_slow", "rope.scaling.finetuned", "tensor_data_layout", "vocab_size"})
      key(name);
    const int64_t nextn = find("nextn_predict_layers", 0, most_layers).value_or(0);
    blocks_ = require("block_count", nextn + 1, most_layers);
    layers = blocks_ - nextn;
  }

  /// The full name of a key, noted as read.
  std::string key(std::string_view name) const { return *read_.insert(prefix + std::string(name)).first; }
  int64_t require(const char* name, int64_t low = 1, int64_t high = largest) const { return metadata.require_int(key(name), low, high); }
  std::optional<int64_t> find(const char* name, int64_t low = 1, int64_t high = largest) const {
    return metadata.find_int(key(name), low, high);
  }
  bool has_tensor(const std::string& name) const { return names_.count(name) != 0; }
  const StoredTensor* tensor(std::string_view name) const {
    for (const StoredTensor& t : gguf.tensors)
      if (t.name == name) return &t;
    return nullptr;
  }
  /// A number that the format allows to vary by layer and this architecture does not.
  std::optional<int64_t> same_in_all_layers(const char* name) const {
    const auto values = metadata.find_per_layer(key(name), blocks_, 1, largest);
    if (!values) return std::nullopt;
    const bool same = std::all_of(values->begin(), values->end(), [&](int64_t v) { return v == values->front(); });
    check(same, "gguf: value differs between layers, which this architecture does not support", printable(key(name)), "in",
          metadata.path());
    return values->front();
  }
  int64_t require_same_in_all_layers(const char* name) const {
    const auto value = same_in_all_layers(name);
    return value ? *value : require(name);
  }
  /// One line about keys of the architecture that nobody asked for: they may change what the model computes.
  void warn_of_unread_keys() const {
    std::string unread;
    for (const auto& [name, value] : metadata.values())
      if (name.starts_with(prefix) && !read_.count(name)) unread.append(unread.empty() ? "" : ", ").append(printable(name));
    if (!unread.empty()) log_warning(metadata.path() + ": metadata keys are not understood and ignored: " + unread);
  }

  const Gguf& gguf;
  const GgufMetadata& metadata;
  std::string prefix;
  int64_t layers = 0;  ///< without the layers of multi-token prediction

 private:
  int64_t blocks_ = 0;
  mutable std::set<std::string> read_;
  std::unordered_set<std::string_view> names_;
};

/// Rows of the embedding: padding rows beyond the tokens count, as vocab_size of config.json does.
int64_t vocabulary(const Source& source) {
  const int64_t tokens = source.metadata.array_size("tokenizer.ggml.tokens");
  int64_t rows = source.find("vocab_size").value_or(tokens);
  if (const StoredTensor* embedding = source.tensor("token_embd.weight")) {
    check(embedding->shape.rank() == 2, "gguf: token_embd.weight is a matrix", embedding->shape, source.metadata.path());
    rows = embedding->shape[0];
  }
  check(rows >= 1, "gguf: nothing tells the size of the vocabulary", source.metadata.path());
  check(tokens <= rows, "gguf: more tokens than rows of the embedding", tokens, rows, "in", source.metadata.path());
  return rows;
}

/// What every decoder of the llama kind shares.
json decoder(const Source& s, bool interleaved) {
  const int64_t hidden = s.require("embedding_length"), heads = s.require_same_in_all_layers("attention.head_count");
  const int64_t kv_heads = s.same_in_all_layers("attention.head_count_kv").value_or(heads);
  check(heads % kv_heads == 0, "gguf: the query heads do not divide among the key-value heads", heads, kv_heads, "in", s.metadata.path());
  const auto key_length = s.find("attention.key_length"), value_length = s.find("attention.value_length");
  check(key_length || hidden % heads == 0, "gguf: the heads do not divide embedding_length and attention.key_length is absent", hidden,
        heads, s.metadata.path());
  const int64_t head_dim = key_length.value_or(hidden / heads);
  check(value_length.value_or(head_dim) == head_dim, "gguf: keys and values of different length are not supported here", head_dim,
        value_length.value_or(head_dim), "in", s.metadata.path());
  const int64_t rotary = s.find("rope.dimension_count").value_or(head_dim);
  check(rotary <= head_dim && rotary % 2 == 0, "gguf: rope.dimension_count is even and at most the head dimension", rotary, head_dim, "in",
        s.metadata.path());

  json config = {{"hidden_act", "silu"},
                 {"hidden_size", hidden},
                 {"num_hidden_layers", s.layers},
                 {"num_attention_heads", heads},
                 {"num_key_value_heads", kv_heads},
                 {"head_dim", head_dim},
                 {"max_position_embeddings", s.require("context_length")},
                 {"rms_norm_eps", shortest(s.metadata.require_float(s.key("attention.layer_norm_rms_epsilon")))},
                 {"vocab_size", vocabulary(s)},
                 {"tie_word_embeddings", !s.has_tensor("output.weight")}};
  config["rope_parameters"] = gguf_rope_parameters(s.gguf, {s.prefix, rotary, 10000.0, interleaved});
  if (rotary != head_dim) config["rope_parameters"]["partial_rotary_factor"] = static_cast<double>(rotary) / static_cast<double>(head_dim);
  return config;
}

/// Number of experts and how many a token uses, under Hugging Face's name for the former.
void add_experts(json& config, const Source& s, const char* count_key) {
  const int64_t experts = s.require("expert_count", 1, 65536);
  config[count_key] = experts;
  config["num_experts_per_tok"] = s.require("expert_used_count", 1, experts);
  // Softmax over all experts, unscaled: what the families here compute.
  const int64_t gating = s.find("expert_gating_func", 0).value_or(1);
  check(gating <= 1, "gguf: expert_gating_func is not supported for this architecture", gating, s.metadata.path());
  const double scale = s.metadata.find_float(s.key("expert_weights_scale")).value_or(1.0);
  check(scale == 0 || scale == 1, "gguf: expert_weights_scale is not supported for this architecture", scale, s.metadata.path());
}

json finish(json config, const char* model_type, const char* architecture) {
  config["model_type"] = model_type;
  config["architectures"] = json::array({architecture});
  return config;
}

/// The arch llama holds llama, mistral (a llama with a window) and mixtral (one with experts).
json llama(const Source& s) {
  json config = decoder(s, true);
  config["intermediate_size"] = s.require_same_in_all_layers("feed_forward_length");
  const auto window = s.find("attention.sliding_window", 0);
  if (s.find("expert_count", 0).value_or(0) > 0) {
    add_experts(config, s, "num_local_experts");
    config["sliding_window"] = window.value_or(0) > 0 ? json(*window) : json(nullptr);
    return finish(std::move(config), "mixtral", "MixtralForCausalLM");
  }
  if (window.value_or(0) > 0) {
    config["sliding_window"] = *window;
    return finish(std::move(config), "mistral", "MistralForCausalLM");
  }
  config["attention_bias"] = s.has_tensor("blk.0.attn_q.bias");
  config["mlp_bias"] = s.has_tensor("blk.0.ffn_gate.bias");
  return finish(std::move(config), "llama", "LlamaForCausalLM");
}

json qwen2(const Source& s) {
  json config = decoder(s, false);
  config["intermediate_size"] = s.require_same_in_all_layers("feed_forward_length");
  config["use_sliding_window"] = false;
  return finish(std::move(config), "qwen2", "Qwen2ForCausalLM");
}

json qwen3_decoder(const Source& s) {
  s.require("attention.key_length");  // independent of embedding_length / head_count in this family
  json config = decoder(s, false);
  config["attention_bias"] = s.has_tensor("blk.0.attn_q.bias");
  config["use_sliding_window"] = false;
  return config;
}

json qwen3(const Source& s) {
  json config = qwen3_decoder(s);
  config["intermediate_size"] = s.require_same_in_all_layers("feed_forward_length");
  return finish(std::move(config), "qwen3", "Qwen3ForCausalLM");
}

json qwen3moe(const Source& s) {
  json config = qwen3_decoder(s);
  add_experts(config, s, "num_experts");
  const int64_t width = s.require("expert_feed_forward_length");
  config["moe_intermediate_size"] = width;
  config["intermediate_size"] = s.same_in_all_layers("feed_forward_length").value_or(width);
  config["norm_topk_prob"] = s.metadata.find_bool(s.key("expert_weights_norm")).value_or(true);  // true in every released model
  config["decoder_sparse_step"] = 1;
  json dense = json::array();
  for (int64_t i = 0; i < s.layers; i++)
    if (s.has_tensor("blk." + std::to_string(i) + ".ffn_gate.weight")) dense.push_back(i);
  config["mlp_only_layers"] = std::move(dense);
  return finish(std::move(config), "qwen3_moe", "Qwen3MoeForCausalLM");
}

constexpr struct {
  std::string_view arch;
  json (*config)(const Source&);
} architectures[] = {{"llama", llama}, {"qwen2", qwen2}, {"qwen3", qwen3}, {"qwen3moe", qwen3moe}};

/// A special token; an id outside the vocabulary is dropped with a warning, since such files exist and the id can never occur.
std::optional<int64_t> special_token(const GgufMetadata& metadata, const std::string& name, int64_t vocab_size) {
  const std::string key = "tokenizer.ggml." + name + "_token_id";
  const auto id = metadata.find_int(key);
  if (!id || *id < 0 || *id == UINT32_MAX) return std::nullopt;
  if (*id < vocab_size) return id;
  log_warning(metadata.path() + ": " + key + " = " + std::to_string(*id) + " is outside the vocabulary and ignored");
  return std::nullopt;
}

}  // namespace

GgufConfig make_gguf_config(const Gguf& gguf) {
  const GgufMetadata& metadata = *gguf.metadata;
  const std::string_view arch = metadata.require_string("general.architecture");
  const auto* row = std::find_if(std::begin(architectures), std::end(architectures), [&](const auto& a) { return a.arch == arch; });
  if (row == std::end(architectures)) {
    std::string known;
    for (const auto& a : architectures) known += (known.empty() ? "" : ", ") + std::string(a.arch);
    fail("gguf: unknown general.architecture", printable(arch), "known are", known, "in", metadata.path());
  }
  const Source source(gguf, arch);
  json config = row->config(source);
  source.warn_of_unread_keys();
  const int64_t vocab_size = config["vocab_size"].get<int64_t>();

  GgufConfig made;
  for (const char* name : {"eos", "eot", "eom"})
    if (const auto id = special_token(metadata, name, vocab_size)) made.eos_token_ids.push_back(static_cast<int>(*id));
  sort_unique(made.eos_token_ids);
  if (!made.eos_token_ids.empty()) config["eos_token_id"] = made.eos_token_ids;
  if (const auto id = special_token(metadata, "bos", vocab_size)) config["bos_token_id"] = *id;
  if (const auto id = special_token(metadata, "padding", vocab_size)) config["pad_token_id"] = *id;
  made.model_type = config["model_type"].get<std::string>();
  made.json = config.dump(2);
  return made;
}

bool is_config_tensor(std::string_view name) {
  return name == "rope_freqs.weight" || name == "rope_factors_long.weight" || name == "rope_factors_short.weight";
}

}  // namespace infernum
