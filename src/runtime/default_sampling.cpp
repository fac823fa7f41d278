#include "runtime/default_sampling.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <type_traits>

#include "checkpoint/gguf_metadata.h"
#include "core/check.h"
#include "core/log.h"
#include "text/ordered_json.h"

namespace infernum {
namespace {

using Given = std::set<std::string, std::less<>>;

/// `value` becomes what the checkpoint says of it, unless it says nothing.
template <class T>
void take(T& value, const std::optional<double>& theirs, const char* name) {
  if (!theirs) return;
  constexpr double most = 1e9;  // of any parameter, and safe to convert
  check(std::abs(*theirs) <= most, "sampling: the checkpoint's recommendation is out of range", name, *theirs);
  check(!std::is_integral_v<T> || std::trunc(*theirs) == *theirs, "sampling: the checkpoint's recommendation is no whole number", name,
        *theirs);
  value = static_cast<T>(*theirs);
}

void take_generation_config(const std::string& text, const Given& given, SamplingParams& s) {
  const nlohmann::ordered_json config = parse_ordered_json(text, "generation_config.json");
  check(config.is_object(), "generation_config.json: the top level must be an object");
  const auto find = [&](const char* key) -> std::optional<double> {
    const auto at = config.find(key);
    if (given.contains(key) || at == config.end() || at->is_null()) return {};
    if (!at->is_number())
      fail("generation_config.json: not a number", key, "=",
           at->dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).substr(0, 80));
    return at->get<double>();
  };
  take(s.temperature, find("temperature"), "temperature");
  take(s.top_k, find("top_k"), "top_k");
  take(s.top_p, find("top_p"), "top_p");
  take(s.min_p, find("min_p"), "min_p");
  take(s.typical_p, find("typical_p"), "typical_p");
  take(s.repetition_penalty, find("repetition_penalty"), "repetition_penalty");
  if (const auto at = config.find("suppress_tokens"); at != config.end() && !at->is_null()) {
    check(at->is_array(), "generation_config.json: suppress_tokens is a list of token ids");
    for (const auto& id : *at) {
      check(id.is_number_unsigned() && id.get<uint64_t>() <= INT32_MAX, "generation_config.json: suppress_tokens is a list of token ids");
      s.suppress_tokens.push_back(id.get<int32_t>());
    }
  }
  const auto sampled = config.find("do_sample");
  if (sampled == config.end() || sampled->is_null()) return;
  check(sampled->is_boolean(), "generation_config.json: do_sample is true or false");
  if (!sampled->get<bool>() && !given.contains("temperature")) s.temperature = 0;
}

/// The keys and their meaning are llama.cpp's: a temperature or top_k below 0 counts as 0, a window of 0 switches the penalty off.
void take_metadata(const GgufMetadata& metadata, const Given& given, SamplingParams& s) {
  const auto find = [&](const char* key, const char* name) {
    return given.contains(name) ? std::nullopt : metadata.find_float(std::string("general.sampling.") + key);
  };
  const auto not_negative = [](std::optional<double> value) { return value && *value < 0 ? 0 : value; };
  take(s.temperature, not_negative(find("temp", "temperature")), "general.sampling.temp");
  take(s.top_k, not_negative(find("top_k", "top_k")), "general.sampling.top_k");
  take(s.top_p, find("top_p", "top_p"), "general.sampling.top_p");
  take(s.min_p, find("min_p", "min_p"), "general.sampling.min_p");
  if (metadata.find_float("general.sampling.penalty_last_n") != 0.)
    take(s.repetition_penalty, find("penalty_repeat", "repetition_penalty"), "general.sampling.penalty_repeat");
  if (const auto ids = metadata.find_ints("tokenizer.ggml.suppress_tokens"))
    for (int64_t id : *ids)
      if (id >= 0 && id <= INT32_MAX) s.suppress_tokens.push_back(static_cast<int32_t>(id));
  for (const char* key : {"general.sampling.xtc_probability", "general.sampling.mirostat"})
    if (metadata.find_float(key).value_or(0) > 0) log_warning(std::string("this sampler is not supported and stays off: ") + key);
}

}  // namespace

SamplingParams with_default_sampling(const Checkpoint& checkpoint, SamplingParams asked, const Given& given) {
  if (!checkpoint.generation_config_json.empty()) take_generation_config(checkpoint.generation_config_json, given, asked);
  if (checkpoint.gguf) take_metadata(*checkpoint.gguf, given, asked);
  return asked;
}

}  // namespace infernum
