#include "checkpoint/gguf_layer_types.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "checkpoint/config_view.h"
#include "checkpoint/gguf_keys.h"
#include "checkpoint/gguf_source.h"
#include "checkpoint/text_file.h"
#include "core/check.h"

namespace infernum {
namespace {

using nlohmann::json;

bool in_period(int64_t layer, int64_t period) { return period == 0 || layer % period < period - 1; }

std::vector<bool> windowed_layers(const GgufSource& s, int64_t period) {
  const std::string key = s.key("attention.sliding_window_pattern");
  const auto layers = static_cast<size_t>(s.layers);
  std::vector<bool> flags;
  const auto given = s.metadata.values().find(key);
  const auto* list = given == s.metadata.values().end() ? nullptr : std::get_if<GgufArray>(&given->second);
  if (!list) {
    const int64_t p = s.metadata.find_int(key, 0, GgufSource::most_layers).value_or(period);
    for (int64_t i = 0; i < s.layers; ++i) flags.push_back(in_period(i, p));
    return flags;
  }
  if (list->type == GgufType::Bool) {
    flags = s.metadata.find_bools(key).value();
  } else {
    const std::vector<int64_t> numbers = s.metadata.find_ints(key).value();
    std::transform(numbers.begin(), numbers.end(), std::back_inserter(flags), [](int64_t n) { return n != 0; });
  }
  check(flags.size() >= layers, "gguf: one flag for each layer is needed", printable(key), flags.size(), "layers", s.layers, "in",
        s.metadata.path());
  flags.resize(layers);
  return flags;
}

}  // namespace

int64_t period_of(const std::vector<bool>& flags) {
  const auto count = static_cast<int64_t>(flags.size());
  const auto agrees = [&](int64_t period) {
    for (int64_t i = 0; i < count; ++i)
      if (flags[static_cast<size_t>(i)] != in_period(i, period)) return false;
    return true;
  };
  for (int64_t period = 0; period <= count; ++period)
    if (agrees(period)) return period;
  return -1;
}

void read_layer_types(const GgufSource& s, int64_t period, json& config) {
  if (const auto window = s.find("attention.sliding_window", 0)) config["sliding_window"] = *window > 0 ? json(*window) : json(nullptr);
  if (!config.contains("sliding_window")) config["sliding_window"] = nullptr;
  const bool none = config["sliding_window"].is_null();
  json types = json::array();
  for (const bool windowed : windowed_layers(s, period)) types.push_back(windowed && !none ? "sliding_attention" : "full_attention");
  config["layer_types"] = std::move(types);
}

void write_layer_types(const ConfigView& config, int64_t period, GgufKeys& keys) {
  const auto window = config.find_integer({"sliding_window"}, 0);
  keys.integer("attention.sliding_window", window.value_or(0));
  if (window.value_or(0) == 0) return;
  const auto types = config.layer_types();
  if (types.empty()) {
    const auto given = config.find_integer({"sliding_window_pattern", "_sliding_window_pattern"}, 0, 4096);
    if (given && *given != period) keys.integer("attention.sliding_window_pattern", *given);
    return;
  }
  std::vector<bool> flags;
  bool implied = true;
  for (const std::string& type : types) {
    check(type == "sliding_attention" || type == "full_attention", "config.json: unknown type of layer", type);
    flags.push_back(type == "sliding_attention");
    implied &= flags.back() == in_period(static_cast<int64_t>(flags.size()) - 1, period);
  }
  if (implied) return;
  const int64_t own = period_of(flags);
  own >= 0 ? keys.integer("attention.sliding_window_pattern", own) : keys.flags("attention.sliding_window_pattern", flags);
}

void read_nested_rope(const GgufSource& s, double local_theta, json& config) {
  const json full = config["rope_parameters"];
  const auto given = s.find_number("rope.freq_base_swa");
  check(given.value_or(1) > 0, "gguf: metadata value is not positive", printable(s.key("rope.freq_base_swa")), given.value_or(1), "in",
        s.metadata.path());
  json local = {{"rope_type", "default"}};
  local["rope_theta"] = given ? json(shortest(*given)) : local_theta > 0 ? json(local_theta) : full["rope_theta"];
  config["rope_parameters"] = {{"full_attention", full}, {"sliding_attention", std::move(local)}};
}

void write_nested_rope(const ConfigView& config, GgufKeys& keys) {
  if (const auto local = config.find_number("rope_local_base_freq")) {
    keys.number("rope.freq_base_swa", *local);
    return;
  }
  const json* parameters = config.find("rope_parameters");
  if (!parameters || !parameters->contains("sliding_attention")) return;
  const json local = config.rope("sliding_attention");
  keys.number("rope.freq_base_swa", ConfigView(local).number("rope_theta"));
}

}  // namespace infernum
