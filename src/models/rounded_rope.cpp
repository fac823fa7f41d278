#include "models/rounded_rope.h"

#include <nlohmann/json.hpp>

#include "core/half.h"
#include "models/config.h"

namespace infernum {

std::string with_bf16_frequencies(const std::string& config_json) {
  auto json = nlohmann::json::parse(config_json);
  const ConfigReader reader(config_json);
  const RopeConfig rope = read_rope(reader, reader.size("head_dim"), reader.size("max_position_embeddings"));
  std::vector<double> divisors;
  for (const double f : rope_frequencies(rope, rope.max_position_embeddings).exact)
    divisors.push_back(f / static_cast<double>(static_cast<float>(BF16(static_cast<float>(f)))));
  auto& parameters = json.contains("rope_parameters") ? json["rope_parameters"] : json["rope_scaling"];
  if (parameters.is_null()) parameters = {{"rope_type", "default"}};
  parameters["inv_freq_divisors"] = divisors;
  return json.dump();
}

}  // namespace infernum
