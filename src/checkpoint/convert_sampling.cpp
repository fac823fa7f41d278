#include "checkpoint/convert_sampling.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "checkpoint/config_view.h"
#include "core/check.h"

namespace infernum {

using nlohmann::json;

void write_sampling(const std::string& generation_config_json, const std::string& path, GgufWriter& writer) {
  const json config = parse_json_object(generation_config_json, path.c_str());
  const auto find = [&](const char* key) -> std::optional<double> {
    const auto at = config.find(key);
    if (at == config.end() || at->is_null()) return {};
    check(at->is_number() && std::abs(at->get<double>()) <= 1e9, "generation_config.json: a number of at most 1e9", key, "in", path);
    return at->get<double>();
  };
  const auto write = [&](const char* key, const char* gguf) {
    if (const auto value = find(key)) writer.set(gguf, static_cast<float>(*value));
  };
  const auto sampled = config.find("do_sample");
  const bool greedy = sampled != config.end() && sampled->is_boolean() && !sampled->get<bool>();
  if (greedy)
    writer.set("general.sampling.temp", 0.f);
  else
    write("temperature", "general.sampling.temp");
  if (const auto value = find("top_k")) writer.set("general.sampling.top_k", static_cast<int32_t>(*value));
  write("top_p", "general.sampling.top_p");
  write("min_p", "general.sampling.min_p");
  if (find("repetition_penalty").value_or(1) != 1) {
    write("repetition_penalty", "general.sampling.penalty_repeat");
    writer.set("general.sampling.penalty_last_n", int32_t{-1});  // of the whole context
  }
  const auto suppressed = config.find("suppress_tokens");
  if (suppressed == config.end() || suppressed->is_null()) return;
  check(suppressed->is_array(), "generation_config.json: suppress_tokens is a list of token ids", path);
  std::vector<int32_t> ids;
  for (const json& id : *suppressed) {
    check(id.is_number_unsigned() && id.get<uint64_t>() <= INT32_MAX, "generation_config.json: suppress_tokens is a list of token ids",
          path);
    ids.push_back(id.get<int32_t>());
  }
  if (!ids.empty()) writer.set("tokenizer.ggml.suppress_tokens", ids);
}

}  // namespace infernum
