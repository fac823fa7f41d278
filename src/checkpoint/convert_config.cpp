// config.json to GGUF metadata, for the families of gguf_families().
#include "checkpoint/convert_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "checkpoint/config_view.h"
#include "checkpoint/gguf_keys.h"
#include "core/check.h"
#include "core/log.h"

namespace infernum {
namespace {

using nlohmann::json;

double yarn_mscale(double factor, double mscale) { return factor > 1 ? 0.1 * mscale * std::log(factor) + 1 : 1; }

/// The factor on cos and sin that transformers computes for yarn.
double yarn_attention(const ConfigView& rope, double factor) {
  if (const auto given = rope.find_number("attention_factor")) return *given;
  const auto mscale = rope.find_number("mscale"), all = rope.find_number("mscale_all_dim");
  return mscale.value_or(0) != 0 && all.value_or(0) != 0 ? yarn_mscale(factor, *mscale) / yarn_mscale(factor, *all)
                                                         : yarn_mscale(factor, 1);
}

void write_yarn(const ConfigView& rope, const GgufFamily& family, int64_t context, GgufKeys& keys) {
  const double factor = rope.number("factor");
  check(factor > 0, "config.json: the factor of yarn is positive", factor);
  keys.text("rope.scaling.type", "yarn");
  keys.number("rope.scaling.factor", factor);
  keys.integer("rope.scaling.original_context_length", rope.find_integer({"original_max_position_embeddings"}).value_or(context));
  // What readers multiply by themselves: see gguf_rope.cpp.
  double implied = yarn_mscale(factor, 1);
  const double all = rope.find_number("mscale_all_dim").value_or(0);
  if (all != 0 && family.writes_log_multiplier) {
    keys.number("rope.scaling.yarn_log_multiplier", all * family.log_multiplier);
    implied = family.log_multiplier != 1.0 && all != 1 ? 1 : implied / yarn_mscale(factor, all);
  }
  const double attention = yarn_attention(rope, factor) / implied;
  if (std::abs(attention - 1) > 1e-6) keys.number("rope.scaling.attn_factor", attention);
  if (const auto beta = rope.find_number("beta_fast")) keys.number("rope.scaling.yarn_beta_fast", *beta);
  if (const auto beta = rope.find_number("beta_slow")) keys.number("rope.scaling.yarn_beta_slow", *beta);
  if (rope.flag("truncate", true) != family.truncated_yarn)
    log_warning("GGUF cannot say whether yarn has truncate; for " + std::string(family.arch) + " readers will take " +
                (family.truncated_yarn ? "true" : "false"));
}

void write_rope(const ConfigView& config, const GgufFamily& family, GgufKeys& keys) {
  const json parameters = config.rope("full_attention", family.rope_theta);
  const ConfigView rope(parameters);
  const std::string type = rope.text("rope_type");
  const int64_t context = config.integer("max_position_embeddings");
  if (family.heads == GgufHeads::Alike) keys.integer("rope.dimension_count", config.rotary_dims(family.partial_rotary_factor));
  keys.number("rope.freq_base", rope.number("rope_theta"));
  if (type == "linear") {
    keys.text("rope.scaling.type", type);
    keys.number("rope.scaling.factor", rope.number("factor"));
  } else if (type == "yarn") {
    write_yarn(rope, family, context, keys);
  } else if (type == "longrope") {
    const auto original = config.find_integer({"original_max_position_embeddings"});
    const int64_t from = original ? *original : rope.find_integer({"original_max_position_embeddings"}).value_or(context);
    const double factor = rope.find_number("factor").value_or(static_cast<double>(context) / static_cast<double>(from));
    const double attention = factor > 1 ? std::sqrt(1 + std::log(factor) / std::log(static_cast<double>(from))) : 1;
    keys.text("rope.scaling.type", type);
    keys.number("rope.scaling.factor", factor);
    keys.integer("rope.scaling.original_context_length", from);
    keys.number("rope.scaling.attn_factor", rope.find_number("attention_factor").value_or(attention));
  } else if (type == "dynamic" && !rope.find("alpha")) {
    log_warning("GGUF has no rope scaling of type dynamic: beyond " + std::to_string(context) + " tokens the converted model will differ");
  } else {
    const bool proportional = type == "proportional" && family.proportional_rope;
    check(type == "default" || type == "llama3" || type == "dynamic" || proportional,
          "config.json: this rope_type cannot be written as GGUF", type);
  }
}

/// The activation is no key of the format: each architecture has its own.
void check_activation(const ConfigView& config, const GgufFamily& family) {
  const json constants = json::parse(family.constants);
  const auto implied = constants.find("hidden_activation");
  const std::string wanted = implied == constants.end() ? "silu" : implied->get<std::string>();
  auto given = config.find_text("hidden_activation");
  if (!given) given = config.find_text("hidden_act");
  check(!given || *given == wanted, "config.json: GGUF files of this architecture imply hidden_act", wanted, "not", given.value_or(""));
}

void write_keys(const ConfigView& config, std::span<const GgufKey> list, GgufKeys& keys) {
  for (const GgufKey& row : list) {
    if (row.kind == GgufKind::Integer) {
      if (const auto value = config.find_integer({row.hugging_face}, 0)) keys.integer(row.gguf, *value);
    } else if (row.kind == GgufKind::Number) {
      if (const auto value = config.find_number(row.hugging_face)) keys.number(row.gguf, *value);
    } else if (const auto value = config.find_flag(row.hugging_face)) {
      keys.flag(row.gguf, *value);
    }
  }
}

/// Of a mixture without dense layers that of an expert.
int64_t feed_forward_width(const ConfigView& config) {
  const auto width = config.find_integer({"intermediate_size", "moe_intermediate_size"});
  return width ? *width : config.integer("intermediate_size");
}

std::vector<float> longrope_factors(const ConfigView& rope, const char* key, int64_t dims) {
  const json* list = rope.find(key);
  check(list && list->is_array() && static_cast<int64_t>(list->size()) == dims / 2,
        "config.json: longrope has one factor for each pair of rotary dimensions", key, "rotary dimensions", dims);
  std::vector<float> values;
  for (const json& value : *list) {
    check(value.is_number() && value.get<double>() > 0, "config.json: a rope factor is a positive number", key);
    values.push_back(value.get<float>());
  }
  return values;
}

std::vector<float> llama3_divisors(const ConfigView& rope, int64_t dims) {
  const double factor = rope.number("factor"), low = rope.number("low_freq_factor"), high = rope.number("high_freq_factor");
  const double original = rope.number("original_max_position_embeddings"), theta = rope.number("rope_theta");
  check(factor > 0 && original > 0 && theta > 0 && low > 0 && high >= low,
        "config.json: llama3 scaling needs positive numbers and low_freq_factor at most high_freq_factor");
  std::vector<float> divisors;
  for (int64_t i = 0; i < dims / 2; ++i) {
    const double wavelength = 2 * std::numbers::pi * std::pow(theta, static_cast<double>(2 * i) / static_cast<double>(dims));
    // 1: short waves, kept; 0: long ones, divided.
    const double turns = original / wavelength;
    const double blend = high > low ? std::clamp((turns - low) / (high - low), 0.0, 1.0) : turns > low ? 1.0 : 0.0;
    divisors.push_back(static_cast<float>(1 / ((1 - blend) / factor + blend)));
  }
  return divisors;
}

}  // namespace

void write_hyper_parameters(const json& json_config, const GgufFamily& family, GgufWriter& writer) {
  const ConfigView config(json_config);
  GgufKeys keys(std::string(family.arch) + ".");
  const json* quantized = config.find("quantization_config");
  check(!quantized || (quantized->is_object() && quantized->value("quant_method", json()) == "mxfp4"),
        "config.json: a quantised checkpoint cannot be converted; take the original weights");
  check_activation(config, family);
  keys.integer("context_length", config.integer("max_position_embeddings"));
  keys.integer("embedding_length", config.integer("hidden_size"));
  keys.integer("block_count", config.layers());
  keys.integer("feed_forward_length", feed_forward_width(config));
  keys.integer("vocab_size", config.integer("vocab_size"));
  if (family.heads == GgufHeads::Alike) {
    keys.integer("attention.head_count", config.integer("num_attention_heads"));
    keys.integer("attention.head_count_kv", config.kv_heads());
    keys.integer("attention.key_length", config.head_dim());
    keys.integer("attention.value_length", config.head_dim());
  }
  if (family.rms_norm) keys.number("attention.layer_norm_rms_epsilon", config.find_number("rms_norm_eps").value_or(1e-6));
  write_rope(config, family, keys);
  for (const auto& list : family.keys) write_keys(config, list, keys);
  if (family.write) family.write(config, keys);
  keys.write(writer);
}

RopeFactors rope_factors(const json& json_config, const GgufFamily& family) {
  const ConfigView config(json_config);
  const json parameters = config.rope();
  const ConfigView rope(parameters);
  const std::string type = rope.text("rope_type");
  RopeFactors factors;
  if (type == "longrope") {
    factors.long_context = longrope_factors(rope, "long_factor", config.rotary_dims(family.partial_rotary_factor));
    factors.short_context = longrope_factors(rope, "short_factor", config.rotary_dims(family.partial_rotary_factor));
  } else if (type == "llama3") {
    factors.all = llama3_divisors(rope, config.rotary_dims(family.partial_rotary_factor));
  } else if (type == "proportional") {
    // As many pairs as rotate, then divisors that stop the others.
    const int64_t pairs = config.full_head_dim() / 2;
    const double share = rope.find_number("partial_rotary_factor").value_or(1.0);
    check(share > 0 && share <= 1, "config.json: partial_rotary_factor is above 0 and at most 1", share);
    factors.all.assign(static_cast<size_t>(pairs), 1e30f);
    std::fill_n(factors.all.begin(), static_cast<int64_t>(share * static_cast<double>(pairs)), 1.0f);
  }
  return factors;
}

}  // namespace infernum
