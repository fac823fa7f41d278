#include "models/config.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "core/check.h"

namespace infernum {

namespace {

/// Null, or absent from a family without a default, means `derived`.
int64_t size_or_null(const ConfigReader& json, std::string_view key, int64_t absent, int64_t derived) {
  return json.size(key, absent == 0 || json.is_null(key) ? derived : absent);
}

int64_t size_or_required(const ConfigReader& json, std::string_view key, int64_t absent) {
  return absent == 0 ? json.size(key) : json.size(key, absent);
}

}  // namespace

DecoderConfig::DecoderConfig(const ConfigReader& json, const ConfigDefaults& defaults)
    : vocab_size(size_or_required(json, "vocab_size", defaults.vocab_size)),
      hidden_size(json.size("hidden_size")),
      intermediate_size(json.size("intermediate_size")),
      num_hidden_layers(json.size("num_hidden_layers")),
      num_attention_heads(size_or_required(json, "num_attention_heads", defaults.num_attention_heads)),
      num_key_value_heads(size_or_null(json, "num_key_value_heads", defaults.num_key_value_heads, num_attention_heads)),
      head_dim(size_or_null(json, "head_dim", defaults.head_dim, std::max<int64_t>(1, hidden_size / num_attention_heads))),
      max_position_embeddings(json.size("max_position_embeddings", defaults.max_position_embeddings)),
      rms_norm_eps(static_cast<float>(json.number(defaults.norm_eps).value_or(defaults.rms_norm_eps))),
      tie_word_embeddings(json.boolean("tie_word_embeddings").value_or(defaults.tie_word_embeddings)),
      windows(static_cast<size_t>(std::min<int64_t>(num_hidden_layers, 4096))),
      ropes{read_rope(json, head_dim, max_position_embeddings, defaults)},
      layer_rope(windows.size()),
      cache_of(windows.size()),
      context(max_position_embeddings) {
  check(num_hidden_layers <= 4096, "config.json: at most 4096 layers", "num_hidden_layers =", num_hidden_layers);
  std::iota(cache_of.begin(), cache_of.end(), 0);
  check(num_attention_heads % num_key_value_heads == 0, "config.json: query heads must divide into groups of key-value heads",
        num_attention_heads, num_key_value_heads);
  check(rms_norm_eps > 0 && rms_norm_eps < 1, "config.json: epsilon lies between 0 and 1", defaults.norm_eps, rms_norm_eps);
  for (const char* key : {"hidden_activation", "hidden_act"}) {  // Gemma files hold both, and the first decides
    const auto act = json.string(key);
    if (!act) continue;
    check(*act == defaults.activation, "config.json: this family implements one activation", key, "=", *act,
          "; implemented:", defaults.activation);
    break;
  }
  if (defaults.quant_method.empty()) return;
  if (const auto quantization = json.object("quantization_config")) {
    const auto method = quantization->string("quant_method").value_or("");
    check(method == defaults.quant_method, "config.json: this family implements one quant_method", method,
          "; implemented:", defaults.quant_method);
  }
}

AttentionShape DecoderConfig::attention(int64_t layer, bool qkv_bias, bool o_bias) const {
  const auto i = static_cast<size_t>(layer);
  AttentionParams params;
  params.head_dim = static_cast<int>(head_dim);
  params.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(head_dim)));
  params.window = windows[i];
  const bool interleaved = layer_rope[i] != AttentionShape::no_rope && ropes[static_cast<size_t>(layer_rope[i])].rope_interleaved;
  return {hidden_size, num_attention_heads, num_key_value_heads, {static_cast<int>(head_dim), interleaved}, layer_rope[i], params, qkv_bias,
          o_bias};
}

void check_experts(int64_t experts, int64_t num_hidden_layers) {
  check(experts <= 4096 && experts * num_hidden_layers <= 262144, "config.json: at most 4096 experts in a layer and 262144 in all", experts,
        "layers", num_hidden_layers);
}

std::vector<std::string> read_layer_types(const ConfigReader& json, int64_t layers, const std::vector<std::string>& known,
                                          const std::function<std::string(int64_t)>& derived) {
  auto types = json.strings("layer_types");
  check(types.empty() || static_cast<int64_t>(types.size()) == layers, "config.json: layer_types must name every layer", types.size(),
        layers);
  for (int64_t i = 0; types.empty() || i < layers; i++) {
    if (static_cast<int64_t>(types.size()) == i) types.push_back(derived(i));
    const std::string& type = types[static_cast<size_t>(i)];
    if (std::find(known.begin(), known.end(), type) != known.end()) continue;
    std::string list;
    for (const auto& name : known) list += (list.empty() ? "" : ", ") + name;
    fail("config.json: this family implements other layer_types", type, "; implemented:", list);
  }
  return types;
}

std::vector<int> windows_of(const ConfigReader& json, const std::vector<std::string>& layer_types, int64_t absent) {
  std::vector<int> windows;
  for (const auto& type : layer_types) {
    const bool sliding = type == "sliding_attention";
    windows.push_back(!sliding ? 0 : static_cast<int>(absent ? json.size("sliding_window", absent) : json.size("sliding_window")));
  }
  return windows;
}

std::vector<bool> rotary_layers(const ConfigReader& json, int64_t layers) {
  const auto flags = json.numbers("no_rope_layers");
  const int64_t interval = json.size("no_rope_layer_interval", 4);
  check(flags.empty() || static_cast<int64_t>(flags.size()) >= layers, "config.json: no_rope_layers must have an entry for every layer",
        flags.size(), layers);
  std::vector<bool> rotary;
  for (int64_t i = 0; i < layers; i++) rotary.push_back(flags.empty() ? (i + 1) % interval != 0 : flags[static_cast<size_t>(i)] != 0);
  return rotary;
}

RopeConfig read_rope(const ConfigReader& json, int64_t head_dim, int64_t max_position_embeddings, const ConfigDefaults& defaults,
                     std::string_view layer_type) {
  check(head_dim <= 1024, "config.json: heads of at most 1024 components", "head_dim =", head_dim);
  RopeConfig c;
  const auto five = json.object("rope_parameters"), four = json.object("rope_scaling");
  const auto nested = five ? five->object(layer_type) : std::nullopt;
  const ConfigReader empty("{}");
  const ConfigReader& d = nested ? *nested : five ? *five : four ? *four : empty;
  c.rope_type = d.string("rope_type").value_or(d.string("type").value_or("default"));
  if (c.rope_type == "su") c.rope_type = "longrope";
  if (c.rope_type == "mrope") c.rope_type = "default";  // equal for text
  static constexpr std::array known{"default", "linear", "dynamic", "llama3", "yarn", "longrope", "proportional"};
  check(std::find(known.begin(), known.end(), c.rope_type) != known.end(),
        "config.json: unknown rope_type; known: default, linear, dynamic, llama3, yarn, longrope, proportional", c.rope_type);
  c.rope_theta = d.number("rope_theta").value_or(json.number("rope_theta").value_or(defaults.rope_theta));
  check(c.rope_theta > 0 && std::isfinite(c.rope_theta), "config.json: rope_theta is positive", c.rope_theta);
  const double partial =
      json.number("partial_rotary_factor").value_or(d.number("partial_rotary_factor").value_or(defaults.partial_rotary_factor));
  check(partial > 0 && partial <= 1, "config.json: partial_rotary_factor lies between 0 and 1", partial);
  c.proportion = partial;
  c.rotary_dim = c.rope_type == "proportional" ? head_dim : static_cast<int64_t>(static_cast<double>(head_dim) * partial);
  c.max_position_embeddings = max_position_embeddings;
  c.original_max_position_embeddings = json.integer("original_max_position_embeddings")
                                           .value_or(d.integer("original_max_position_embeddings").value_or(max_position_embeddings));
  c.factor =
      d.number("factor").value_or(static_cast<double>(max_position_embeddings) / static_cast<double>(c.original_max_position_embeddings));
  check(d.has("factor") || d.has("alpha") || (c.rope_type != "linear" && c.rope_type != "dynamic" && c.rope_type != "llama3"),
        "config.json: this rope_type needs a factor", c.rope_type);
  c.alpha = d.number("alpha");
  check(!c.alpha || c.rope_type == "dynamic", "config.json: alpha belongs to the rope_type dynamic", c.rope_type);
  c.low_freq_factor = d.number("low_freq_factor").value_or(c.low_freq_factor);
  c.high_freq_factor = d.number("high_freq_factor").value_or(c.high_freq_factor);
  c.beta_fast = d.number("beta_fast").value_or(c.beta_fast);
  c.beta_slow = d.number("beta_slow").value_or(c.beta_slow);
  c.truncate = d.boolean("truncate").value_or(true);
  c.mscale = d.number("mscale");
  c.mscale_all_dim = d.number("mscale_all_dim");
  c.attention_factor = d.number("attention_factor");
  c.short_factor = d.numbers("short_factor");
  c.long_factor = d.numbers("long_factor");
  c.inv_freq_divisors = d.numbers("inv_freq_divisors");
  c.rope_interleaved = d.boolean("rope_interleaved").value_or(false);
  for (const auto& key : d.unread())
    check(key == "mrope_section" || key == "mrope_interleaved" || key == "finetuned" ||
              std::find(defaults.rope_keys.begin(), defaults.rope_keys.end(), key) != defaults.rope_keys.end(),
          "config.json: unknown key among the rope parameters", key);
  rope_frequencies(c, max_position_embeddings);  // refuses impossible values before anything is loaded
  return c;
}

void check_unread(const ConfigReader& json, std::string_view family) {
  // Known to change the maths; a family that implements one has read it.
  static constexpr std::array decisive{"attention_multiplier",
                                       "attn_logit_softcapping",
                                       "clip_qkv",
                                       "embedding_multiplier",
                                       "final_logit_softcapping",
                                       "layer_types",
                                       "linear_attn_config",
                                       "logit_scale",
                                       "logits_scaling",
                                       "mlp_layer_types",
                                       "n_routed_experts",
                                       "no_rope_layers",
                                       "num_experts",
                                       "num_local_experts",
                                       "parallel_residual",
                                       "qk_norm",
                                       "query_pre_attn_scalar",
                                       "quantization_config",
                                       "residual_multiplier",
                                       "rope_local_base_freq",
                                       "sliding_window_pattern",
                                       "use_cla",
                                       "use_parallel_residual",
                                       "use_qk_norm",
                                       "use_sliding_window"};
  for (const std::string& key : json.unread())
    check(std::find(decisive.begin(), decisive.end(), key) == decisive.end(),
          "config.json: this key changes the maths and this family does not implement it", family, key);
}

std::vector<std::string> unknown_keys(const ConfigReader& json) {
  // Known to be without effect on inference of these families: book-keeping, training, token ids (read from generation_config.json
  // too), and the dtype, whatever it says: every tensor has its own.
  static constexpr std::array harmless{"_name_or_path",
                                       "_attn_implementation_autoset",
                                       "architectures",
                                       "attention_dropout",
                                       "attn_implementation",
                                       "auto_map",
                                       "aux_loss_alpha",
                                       "bos_token_id",
                                       "cache_implementation",
                                       "dtype",
                                       "embd_pdrop",
                                       "eod_token_id",
                                       "eos_token_id",
                                       "ep_size",
                                       "hidden_dropout",
                                       "id2label",
                                       "initializer_range",
                                       "label2id",
                                       "max_length",
                                       "model_type",
                                       "name_or_path",
                                       "num_nextn_predict_layers",
                                       "output_attentions",
                                       "output_hidden_states",
                                       "output_router_logits",
                                       "pad_token_id",
                                       "pretraining_tp",
                                       "resid_pdrop",
                                       "residual_dropout",
                                       "return_dict",
                                       "rope_scaling",
                                       "rope_theta",
                                       "router_aux_loss_coef",
                                       "router_jitter_noise",
                                       "sep_token_id",
                                       "seq_aux",
                                       "task_specific_params",
                                       "tokenizer_class",
                                       "torch_dtype",
                                       "transformers_version",
                                       "unk_token_id",
                                       "use_cache",
                                       "use_mrope",
                                       "vision_config",
                                       "head_dim",
                                       "max_window_layers",
                                       "sliding_window"};
  std::vector<std::string> unknown;
  for (std::string& key : json.unread())
    if (std::find(harmless.begin(), harmless.end(), key) == harmless.end()) unknown.push_back(std::move(key));
  return unknown;
}

}  // namespace infernum
