#include "checkpoint/gguf_rope.h"

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "checkpoint/gguf_source.h"
#include "checkpoint/text_file.h"
#include "core/check.h"

namespace infernum {
namespace {

using nlohmann::json;

const StoredTensor* find_tensor(const Gguf& gguf, std::string_view name) {
  for (const StoredTensor& tensor : gguf.tensors)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

/// One positive number for each pair of rotary dimensions; null when the data is not in the file (headers only).
json factors(const StoredTensor& tensor, int64_t dims, const std::string& path) {
  check(tensor.dtype == DType::F32 && tensor.shape == Shape{dims / 2}, "gguf: rotary factors are one F32 for each pair of dimensions",
        printable(tensor.name), tensor.dtype, tensor.shape, "rotary dimensions", dims, "in", path);
  if (!tensor.data) return nullptr;
  json list = json::array();
  for (int64_t i = 0; i < dims / 2; i++) {
    float value = 0;
    std::memcpy(&value, tensor.data + 4 * i, 4);
    check(std::isfinite(value) && value > 0, "gguf: a rotary factor is a positive number", printable(tensor.name), i, value, "in", path);
    list.push_back(shortest(value));
  }
  return list;
}

double positive(const GgufMetadata& metadata, const std::string& key, double value) {
  check(value > 0, "gguf: metadata value is not positive", printable(key), value, "in", metadata.path());
  return shortest(value);
}

/// The factor on cos and sin for a scale, as the yarn paper has it.
double yarn_factor(double scale, double mscale) { return scale <= 1 ? 1.0 : 0.1 * mscale * std::log(scale) + 1.0; }

json yarn(const GgufMetadata& metadata, const GgufRope& file, double factor) {
  const std::string scaling = file.prefix + "rope.scaling.";
  check(factor > 0, "gguf: yarn needs a positive factor", printable(scaling + "factor"), factor, "in", metadata.path());
  const auto original = metadata.find_int(scaling + "original_context_length", 1, INT32_MAX);
  json rope = {{"rope_type", "yarn"}, {"factor", shortest(factor)}, {"truncate", file.truncated_yarn}};
  const auto multiplier = metadata.find_float(scaling + "yarn_log_multiplier"), attn = metadata.find_float(scaling + "attn_factor");
  double attention = attn.value_or(1.0);
  if (multiplier.value_or(0.0) != 0) {
    // llama.cpp takes both to be equal where the multiplier is a tenth (deepseek2), and mscale to be 1 elsewhere.
    const double all = shortest(static_cast<float>(*multiplier / file.log_multiplier));
    const double mscale = file.log_multiplier != 1.0 && all != 1.0 ? all : 1.0;
    rope["mscale"] = mscale;
    rope["mscale_all_dim"] = all;
    attention *= yarn_factor(factor, mscale) / yarn_factor(factor, all);
  } else {
    attention *= yarn_factor(factor, 1.0);
  }
  if (attn || multiplier.value_or(0.0) == 0) rope["attention_factor"] = attention;
  rope["original_max_position_embeddings"] = original ? *original : metadata.require_int(file.prefix + "context_length", 1, INT32_MAX);
  for (const char* side : {"beta_fast", "beta_slow"})
    if (const auto beta = metadata.find_float(scaling + "yarn_" + side)) rope[side] = positive(metadata, scaling + "yarn_" + side, *beta);
  return rope;
}

json longrope(const GgufMetadata& metadata, const std::string& prefix, json long_factor, json short_factor) {
  const std::string scaling = prefix + "rope.scaling.";
  json rope = {{"rope_type", "longrope"}, {"long_factor", std::move(long_factor)}, {"short_factor", std::move(short_factor)}};
  rope["original_max_position_embeddings"] = metadata.require_int(scaling + "original_context_length", 1, INT32_MAX);
  if (const auto factor = metadata.find_float(scaling + "factor")) rope["factor"] = positive(metadata, scaling + "factor", *factor);
  if (const auto m = metadata.find_float(scaling + "attn_factor"))
    rope["attention_factor"] = positive(metadata, scaling + "attn_factor", *m);
  return rope;
}

}  // namespace

json gguf_rope_parameters(const Gguf& gguf, const GgufRope& rope) {
  const GgufMetadata& metadata = *gguf.metadata;
  const std::string scaling = rope.prefix + "rope.scaling.", theta_key = rope.prefix + "rope.freq_base";
  // Files without a type mean linear; files before that key call the factor rope.scale_linear.
  const std::string type(metadata.find_string(scaling + "type").value_or("linear"));
  const auto old_factor = metadata.find_float(rope.prefix + "rope.scale_linear");
  const double factor = metadata.find_float(scaling + "factor").value_or(old_factor.value_or(0.0));

  const StoredTensor* long_factors = find_tensor(gguf, "rope_factors_long.weight");
  const StoredTensor* short_factors = find_tensor(gguf, "rope_factors_short.weight");
  json parameters;
  if (long_factors || short_factors) {
    check(long_factors && short_factors, "gguf: rope_factors_long.weight and rope_factors_short.weight come together", metadata.path());
    parameters = longrope(metadata, rope.prefix, factors(*long_factors, rope.dims, metadata.path()),
                          factors(*short_factors, rope.dims, metadata.path()));
  } else if (type == "yarn") {
    parameters = yarn(metadata, rope, factor);
  } else if (type == "linear" && factor != 0 && factor != 1) {
    parameters = {{"rope_type", "linear"}, {"factor", positive(metadata, scaling + "factor", factor)}};
  } else {
    check(type == "none" || type == "linear", "gguf: unknown value of", printable(scaling + "type"), printable(type), "in",
          metadata.path());
    parameters = json::object({{"rope_type", "default"}});
  }
  parameters["rope_theta"] = positive(metadata, theta_key, metadata.find_float(theta_key).value_or(rope.default_theta));
  if (rope.interleaved) parameters["rope_interleaved"] = true;
  if (const StoredTensor* divisors = find_tensor(gguf, "rope_freqs.weight")) {
    json list = factors(*divisors, rope.dims, metadata.path());
    if (!list.is_null()) parameters["inv_freq_divisors"] = std::move(list);
  }
  return parameters;
}

}  // namespace infernum
