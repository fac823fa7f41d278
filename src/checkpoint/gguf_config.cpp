#include "checkpoint/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "checkpoint/gguf_rope.h"
#include "checkpoint/gguf_source.h"
#include "checkpoint/side_files.h"
#include "checkpoint/text_file.h"
#include "core/check.h"
#include "core/log.h"

namespace infernum {
namespace {

using nlohmann::json;

/// Rows of the embedding: padding rows beyond the tokens count, as vocab_size of config.json does.
int64_t vocabulary(const GgufSource& source) {
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

/// Heads of one shape in all layers. Returns the rotary dimensions.
int64_t read_heads(const GgufSource& s, json& config) {
  const int64_t hidden = config["hidden_size"].get<int64_t>(), heads = s.require_same_in_all_layers("attention.head_count");
  // Hybrids list 0 key-value heads for their layers without attention.
  int64_t kv_heads = heads;
  if (const auto list = s.find_per_layer("attention.head_count_kv", 0)) {
    kv_heads = *std::max_element(list->begin(), list->end());
    const bool same = std::all_of(list->begin(), list->end(), [&](int64_t v) { return v == kv_heads || v == 0; });
    check(same && kv_heads > 0, "gguf: value differs between layers, which this architecture does not support",
          printable(s.key("attention.head_count_kv")), "in", s.metadata.path());
  }
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
  config["num_attention_heads"] = heads;
  config["num_key_value_heads"] = kv_heads;
  config["head_dim"] = head_dim;
  return rotary;
}

/// Width of the MLP, for mixtures without dense layers that of an expert.
int64_t feed_forward_length(const GgufSource& s, const GgufFamily& family) {
  if (family.heads == GgufHeads::Own)
    if (const auto widths = s.find_per_layer("feed_forward_length")) return widths->front();
  if (const auto width = s.same_in_all_layers("feed_forward_length")) return *width;
  const auto width = s.find("expert_feed_forward_length");
  return width ? *width : s.require("feed_forward_length");
}

json make_config(const GgufSource& s, const GgufFamily& family) {
  json config = {{"model_type", family.model_type},
                 {"architectures", json::array({family.architecture})},
                 {"hidden_size", s.require("embedding_length")},
                 {"num_hidden_layers", s.layers},
                 {"max_position_embeddings", s.require("context_length")},
                 {"vocab_size", vocabulary(s)},
                 {"tie_word_embeddings", !s.has_tensor("output.weight")}};
  config.update(json::parse(family.constants));
  if (!config.contains("hidden_activation")) config["hidden_act"] = "silu";
  if (family.rms_norm) config["rms_norm_eps"] = shortest(s.metadata.require_float(s.key("attention.layer_norm_rms_epsilon")));
  for (const auto& keys : family.keys) s.copy_keys(keys, config);

  int64_t rotary = 0;
  if (family.heads == GgufHeads::Alike) {
    rotary = read_heads(s, config);
  } else {
    config["num_attention_heads"] = s.require_same_in_all_layers("attention.head_count");
    rotary = s.require("rope.dimension_count");
  }
  config["intermediate_size"] = feed_forward_length(s, family);
  config["rope_parameters"] =
      gguf_rope_parameters(s.gguf, {s.prefix, rotary, family.rope_theta, family.interleaved, family.log_multiplier, family.truncated_yarn});
  if (family.heads == GgufHeads::Alike) {
    const auto head_dim = config["head_dim"].get<int64_t>();
    if (rotary != head_dim || family.partial_rotary_factor != 1.0)
      config["rope_parameters"]["partial_rotary_factor"] = static_cast<double>(rotary) / static_cast<double>(head_dim);
  }
  if (family.read) family.read(s, config);
  return config;
}

/// The families of an architecture differ by metadata.
const GgufFamily& family_of(const GgufSource& source, std::string_view arch) {
  for (const GgufFamily& family : gguf_families())
    if (family.arch == arch && (!family.is || family.is(source))) return family;
  fail("gguf: no family of the architecture fits", printable(arch), "in", source.metadata.path());
}

void require_known(std::string_view arch, const std::string& path) {
  std::string known;
  std::string_view last;
  for (const GgufFamily& family : gguf_families()) {
    if (family.arch == arch) return;
    if (family.arch != last) known.append(known.empty() ? "" : ", ").append(family.arch);
    last = family.arch;
  }
  fail("gguf: unknown general.architecture", printable(arch), "known are", known, "in", path);
}

/// JSON has no infinities: it would hold null, which stands for a value that is absent.
void check_finite(const json& object, const std::string& path) {
  for (const auto& [name, value] : object.items()) {
    if (value.is_structured()) check_finite(value, path);
    if (!value.is_number_float()) continue;
    const auto number = value.get<double>();
    check(std::isfinite(number), "gguf: the metadata make a value that is not finite", name, number, "in", path);
  }
}

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
  require_known(arch, metadata.path());
  const GgufSource source(gguf, arch);
  GgufConfig made;
  made.family = &family_of(source, arch);
  json config = make_config(source, *made.family);
  check_finite(config, metadata.path());
  source.warn_of_unread_keys();
  const int64_t vocab_size = config["vocab_size"].get<int64_t>();

  for (const char* name : {"eos", "eot", "eom"})
    if (const auto id = special_token(metadata, name, vocab_size)) made.eos_token_ids.push_back(static_cast<int>(*id));
  sort_unique(made.eos_token_ids);
  if (!made.eos_token_ids.empty()) config["eos_token_id"] = made.eos_token_ids;
  if (const auto id = special_token(metadata, "bos", vocab_size)) config["bos_token_id"] = *id;
  if (const auto id = special_token(metadata, "padding", vocab_size)) config["pad_token_id"] = *id;
  made.layers = source.layers;
  made.heads = config["num_attention_heads"].get<int64_t>();
  made.json = config.dump(2);
  return made;
}

bool is_config_tensor(std::string_view name) {
  return name == "rope_freqs.weight" || name == "rope_factors_long.weight" || name == "rope_factors_short.weight";
}

}  // namespace infernum
