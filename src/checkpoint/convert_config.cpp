// config.json to GGUF metadata, for the families of gguf_architecture().
#include "checkpoint/convert_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "checkpoint/gguf_writer.h"
#include "core/check.h"
#include "core/log.h"

namespace infernum {
namespace {

using nlohmann::json;

/// rope_parameters of transformers 5, or rope_scaling and rope_theta of transformers 4 put together.
json rope_of(const json& config) {
  json rope = json::object();
  for (const char* key : {"rope_scaling", "rope_parameters"})
    if (const auto at = config.find(key); at != config.end() && !at->is_null()) {
      check(at->is_object(), "config.json: the value must be an object", key);
      rope.update(*at);
    }
  if (!rope.contains("rope_theta")) rope["rope_theta"] = config.contains("rope_theta") ? config["rope_theta"] : json(10000.0);
  if (!rope.contains("rope_type")) rope["rope_type"] = rope.contains("type") ? rope["type"] : json("default");
  return rope;
}

int64_t rotary_dims(const json& config) {
  const ConfigReader read(config);
  const json rope = rope_of(config);
  const auto share = ConfigReader(rope).find_number("partial_rotary_factor");
  const double factor = share ? *share : read.find_number("partial_rotary_factor").value_or(1.0);
  check(factor > 0 && factor <= 1, "config.json: partial_rotary_factor is above 0 and at most 1", factor);
  return static_cast<int64_t>(static_cast<double>(read.head_dim()) * factor);
}

/// The factor on cos and sin that transformers computes for yarn.
double yarn_attention(const ConfigReader& rope, double factor) {
  if (const auto given = rope.find_number("attention_factor")) return *given;
  const auto m = [&](double mscale) { return factor > 1 ? 0.1 * mscale * std::log(factor) + 1 : 1; };
  const auto mscale = rope.find_number("mscale"), all = rope.find_number("mscale_all_dim");
  return mscale.value_or(0) != 0 && all.value_or(0) != 0 ? m(*mscale) / m(*all) : m(1);
}

void write_yarn(const ConfigReader& rope, const std::string& scaling, int64_t context, GgufWriter& writer) {
  const double factor = rope.number("factor");
  check(factor > 0, "config.json: the factor of yarn is positive", factor);
  writer.set(scaling + "type", std::string("yarn"));
  writer.set(scaling + "factor", static_cast<float>(factor));
  const auto original = rope.find_integer({"original_max_position_embeddings"});
  writer.set(scaling + "original_context_length", static_cast<uint32_t>(original.value_or(context)));
  // Readers multiply by 1 + 0.1 ln(factor) themselves.
  const double attention = yarn_attention(rope, factor) / (1 + 0.1 * std::log(factor));
  if (std::abs(attention - 1) > 1e-6) writer.set(scaling + "attn_factor", static_cast<float>(attention));
  for (const char* side : {"beta_fast", "beta_slow"})
    if (const auto beta = rope.find_number(side)) writer.set(scaling + "yarn_" + side, static_cast<float>(*beta));
  if (!rope.flag("truncate", true)) log_warning("GGUF cannot say truncate: false of yarn; the blend limits will be whole dimensions");
}

void write_rope(const json& config, const std::string& prefix, GgufWriter& writer) {
  const json parameters = rope_of(config);
  const ConfigReader rope(parameters);
  const std::string type = rope.text("rope_type"), scaling = prefix + "rope.scaling.";
  const int64_t context = ConfigReader(config).integer("max_position_embeddings");
  writer.set(prefix + "rope.dimension_count", static_cast<uint32_t>(rotary_dims(config)));
  writer.set(prefix + "rope.freq_base", static_cast<float>(rope.number("rope_theta")));
  if (type == "linear") {
    writer.set(scaling + "type", type);
    writer.set(scaling + "factor", static_cast<float>(rope.number("factor")));
  } else if (type == "yarn") {
    write_yarn(rope, scaling, context, writer);
  } else if (type == "longrope") {
    const int64_t original = rope.find_integer({"original_max_position_embeddings"}).value_or(context);
    const double factor = rope.find_number("factor").value_or(static_cast<double>(context) / static_cast<double>(original));
    const double attention = factor > 1 ? std::sqrt(1 + std::log(factor) / std::log(static_cast<double>(original))) : 1;
    writer.set(scaling + "type", type);
    writer.set(scaling + "factor", static_cast<float>(factor));
    writer.set(scaling + "original_context_length", static_cast<uint32_t>(original));
    writer.set(scaling + "attn_factor", static_cast<float>(rope.find_number("attention_factor").value_or(attention)));
  } else if (type == "dynamic") {
    log_warning("GGUF has no rope scaling of type dynamic: beyond " + std::to_string(context) + " tokens the converted model will differ");
  } else {
    check(type == "default" || type == "llama3", "config.json: this rope_type cannot be written as GGUF", type);
  }
}

void write_experts(const ConfigReader& read, const std::string& prefix, GgufWriter& writer) {
  const auto experts = read.find_integer({"num_local_experts", "num_experts"}, 0, 65536);
  if (experts.value_or(0) == 0) return;
  writer.set(prefix + "expert_count", static_cast<uint32_t>(*experts));
  writer.set(prefix + "expert_used_count", static_cast<uint32_t>(read.integer("num_experts_per_tok", 1, *experts)));
  if (const auto width = read.find_integer({"moe_intermediate_size"}))
    writer.set(prefix + "expert_feed_forward_length", static_cast<uint32_t>(*width));
  if (prefix == "qwen3moe.") writer.set(prefix + "expert_weights_norm", read.flag("norm_topk_prob", false));
}

void write_window(const ConfigReader& read, const std::string& architecture, GgufWriter& writer) {
  const auto window = read.find_integer({"sliding_window"}, 0);
  const bool used = architecture == "llama" || read.flag("use_sliding_window", false);
  if (!used || window.value_or(0) == 0 || *window >= read.integer("max_position_embeddings")) return;
  // Only files of the architecture llama are read with a window here; the others have no key for it that anyone reads.
  if (architecture == "llama") writer.set(architecture + ".attention.sliding_window", static_cast<uint32_t>(*window));
  log_warning("GGUF readers know no sliding window of " + architecture + ": beyond " + std::to_string(*window) +
              " tokens they may differ from the original");
}

}  // namespace

json parse_json_object(const std::string& text, const char* file) {
  constexpr int deepest = 64;
  if (text.empty()) return json::object();
  const auto shallow = [&](int depth, json::parse_event_t, json&) {
    check(depth <= deepest, "JSON nested too deeply", file, "levels", depth);
    return true;
  };
  json value = json::parse(text, shallow, false);
  check(value.is_object(), "not a JSON object", file);
  return value;
}

const json* ConfigReader::find(const char* key) const {
  const auto at = config_.find(key);
  return at == config_.end() || at->is_null() ? nullptr : &*at;
}

std::string ConfigReader::text(const char* key) const {
  const json* value = find(key);
  check(value && value->is_string(), "config.json: the key must be there and a string", key);
  return value->get<std::string>();
}

std::optional<int64_t> ConfigReader::find_integer(std::initializer_list<const char*> keys, int64_t low, int64_t high) const {
  for (const char* key : keys) {
    const json* value = find(key);
    if (!value) continue;
    check(value->is_number_integer(), "config.json: the value must be an integer", key);
    const auto number = value->get<int64_t>();
    check(number >= low && number <= high, "config.json: the value is out of range", key, number, "allowed", low, "to", high);
    return number;
  }
  return std::nullopt;
}

int64_t ConfigReader::integer(const char* key, int64_t low, int64_t high) const {
  const auto value = find_integer({key}, low, high);
  check(value.has_value(), "config.json: the key is missing", key);
  return *value;
}

std::optional<double> ConfigReader::find_number(const char* key) const {
  const json* value = find(key);
  if (!value) return std::nullopt;
  check(value->is_number(), "config.json: the value must be a number", key);
  const auto number = value->get<double>();
  check(std::isfinite(number) && std::abs(number) < 1e30, "config.json: the value is out of range", key, number);
  return number;
}

double ConfigReader::number(const char* key) const {
  const auto value = find_number(key);
  check(value.has_value(), "config.json: the key is missing", key);
  return *value;
}

bool ConfigReader::flag(const char* key, bool otherwise) const {
  const json* value = find(key);
  if (!value) return otherwise;
  check(value->is_boolean(), "config.json: the value must be true or false", key);
  return value->get<bool>();
}

int64_t ConfigReader::kv_heads() const { return find_integer({"num_key_value_heads"}).value_or(integer("num_attention_heads")); }

int64_t ConfigReader::head_dim() const {
  const int64_t hidden = integer("hidden_size"), heads = integer("num_attention_heads");
  if (const auto given = find_integer({"head_dim"})) return *given;
  check(hidden % heads == 0, "config.json: without head_dim hidden_size is a multiple of num_attention_heads", hidden, heads);
  return hidden / heads;
}

void write_hyper_parameters(const json& config, const std::string& architecture, GgufWriter& writer) {
  const ConfigReader read(config);
  const std::string prefix = architecture + ".";
  const auto set = [&](const char* key, int64_t value) { writer.set(prefix + key, static_cast<uint32_t>(value)); };
  const auto quantized = config.find("quantization_config");
  check(quantized == config.end() || quantized->is_null(),
        "config.json: a quantised checkpoint cannot be converted; take the original weights");
  if (config.contains("hidden_act"))
    check(read.text("hidden_act") == "silu", "config.json: GGUF files of this architecture imply hidden_act silu, not",
          read.text("hidden_act"));
  set("context_length", read.integer("max_position_embeddings"));
  set("embedding_length", read.integer("hidden_size"));
  set("block_count", read.integer("num_hidden_layers", 1, 4096));
  set("feed_forward_length", read.integer("intermediate_size"));
  set("attention.head_count", read.integer("num_attention_heads"));
  set("attention.head_count_kv", read.kv_heads());
  set("attention.key_length", read.head_dim());
  set("attention.value_length", read.head_dim());
  set("vocab_size", read.integer("vocab_size"));
  writer.set(prefix + "attention.layer_norm_rms_epsilon", static_cast<float>(read.find_number("rms_norm_eps").value_or(1e-6)));
  write_rope(config, prefix, writer);
  write_experts(read, prefix, writer);
  write_window(read, architecture, writer);
}

RopeFactors rope_factors(const json& config) {
  const json parameters = rope_of(config);
  const ConfigReader rope(parameters);
  const std::string type = rope.text("rope_type");
  const int64_t dims = rotary_dims(config);
  RopeFactors factors;
  if (type == "longrope") {
    const auto read = [&](const char* key) {
      const auto list = parameters.find(key);
      check(list != parameters.end() && list->is_array() && static_cast<int64_t>(list->size()) == dims / 2,
            "config.json: longrope has one factor for each pair of rotary dimensions", key, "rotary dimensions", dims);
      std::vector<float> values;
      for (const json& value : *list) {
        check(value.is_number() && value.get<double>() > 0, "config.json: a rope factor is a positive number", key);
        values.push_back(value.get<float>());
      }
      return values;
    };
    factors.long_context = read("long_factor");
    factors.short_context = read("short_factor");
  } else if (type == "llama3") {
    const double factor = rope.number("factor"), low = rope.number("low_freq_factor"), high = rope.number("high_freq_factor");
    const double original = rope.number("original_max_position_embeddings"), theta = rope.number("rope_theta");
    check(factor > 0 && original > 0 && theta > 0 && high > low,
          "config.json: llama3 scaling needs positive numbers and high_freq_factor above low_freq_factor");
    for (int64_t i = 0; i < dims / 2; ++i) {
      const double wavelength = 2 * std::numbers::pi * std::pow(theta, static_cast<double>(2 * i) / static_cast<double>(dims));
      const double blend =
          std::clamp((original / wavelength - low) / (high - low), 0.0, 1.0);  // 1: short waves, kept; 0: long ones, divided
      factors.all.push_back(static_cast<float>(1 / ((1 - blend) / factor + blend)));
    }
  }
  return factors;
}

}  // namespace infernum
