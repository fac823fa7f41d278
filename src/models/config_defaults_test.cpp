// Keys that config.json may leave out: every family takes the value that its configuration class in transformers has.
#include <gtest/gtest.h>

#include "models/cohere2.h"
#include "models/deepseek.h"
#include "models/ernie4_5.h"
#include "models/gemma3.h"
#include "models/gemma4.h"
#include "models/glm4.h"
#include "models/glm4_moe.h"
#include "models/gpt_oss.h"
#include "models/granite.h"
#include "models/hunyuan.h"
#include "models/llama4.h"
#include "models/ministral3.h"
#include "models/mixtral.h"
#include "models/olmo3.h"
#include "models/phi3.h"
#include "models/qwen3_5.h"
#include "models/seed_oss.h"
#include "models/smollm3.h"
#include "models/test_models.h"

namespace infernum {
namespace {

struct Row {
  const char* family;
  int64_t max_position_embeddings, num_key_value_heads;  ///< of a model with 32 query heads
  int64_t head_dim;                                      ///< with hidden_size 1024
  DecoderConfig (*read)(const ConfigReader&);
};

template <class Config>
DecoderConfig read(const ConfigReader& json) {
  return Config(json);
}

constexpr Row rows[] = {{"cohere2", 8192, 32, 32, read<cohere2::Config>},
                        {"deepseek_v2", 2048, 32, 64, read<deepseek::V2Config>},
                        {"deepseek_v3", 4096, 32, 64, read<deepseek::V3Config>},
                        {"ernie4_5", 131072, 2, 128, read<ernie4_5::Config>},
                        {"gemma2", 8192, 4, 256, read<gemma2::Config>},
                        {"gemma3", 131072, 4, 256, read<gemma3::Config>},
                        {"gemma4", 131072, 4, 256, read<gemma4::Config>},
                        {"glm4", 131072, 2, 128, read<glm4::Config>},
                        {"glm4_moe", 131072, 8, 128, read<glm4_moe::Config>},
                        {"gpt_oss", 131072, 8, 64, read<gpt_oss::Config>},
                        {"granite", 2048, 32, 32, read<granite::Config>},
                        {"hunyuan_v1_dense", 2048, 32, 32, read<hunyuan::Config>},
                        {"llama", 2048, 32, 32, read<llama::Config>},
                        {"llama4_text", 131072, 8, 128, read<llama4::Config>},
                        {"ministral3", 262144, 8, 128, read<ministral3::Config>},
                        {"mistral", 131072, 8, 32, read<llama::MistralConfig>},
                        {"mixtral", 131072, 8, 32, read<mixtral::Config>},
                        {"olmo2", 2048, 32, 32, read<olmo2::Config>},
                        {"olmo3", 2048, 32, 32, read<olmo3::Config>},
                        {"phi3", 4096, 32, 32, read<phi3::Config>},
                        {"qwen2", 32768, 32, 32, read<qwen2::Config>},
                        {"qwen2_vl", 32768, 8, 32, read<qwen2::VlConfig>},
                        {"qwen3", 32768, 32, 128, read<qwen3::Config>},
                        {"qwen3_vl", 128000, 32, 128, read<qwen3::VlConfig>},
                        {"qwen3_moe", 32768, 4, 32, read<qwen3::MoeConfig>},
                        {"qwen3_next", 32768, 2, 256, read<qwen3_next::MoeConfig>},
                        {"qwen3_5", 32768, 4, 256, read<qwen3_5::Config>},
                        {"qwen3_5_moe", 32768, 2, 256, read<qwen3_5::MoeConfig>},
                        {"seed_oss", 524288, 8, 128, read<seed_oss::Config>},
                        {"smollm3", 32768, 4, 32, read<smollm3::Config>}};

class ConfigDefaults : public testing::TestWithParam<Row> {};

TEST_P(ConfigDefaults, OfAbsentKeysAreTheReferences) {
  const Row& row = GetParam();
  nlohmann::json json = {
      {"vocab_size", 64}, {"hidden_size", 1024}, {"intermediate_size", 64}, {"num_hidden_layers", 4}, {"num_attention_heads", 32}};
  if (std::string_view(row.family).starts_with("gemma")) json["hidden_activation"] = "gelu_pytorch_tanh";
  const DecoderConfig c = row.read(ConfigReader(json.dump()));
  EXPECT_EQ(c.max_position_embeddings, row.max_position_embeddings);
  EXPECT_EQ(c.context, row.max_position_embeddings);
  EXPECT_EQ(c.num_key_value_heads, row.num_key_value_heads);
  EXPECT_EQ(c.head_dim, row.head_dim);
  json.update({{"max_position_embeddings", 512}, {"num_key_value_heads", 16}});
  const DecoderConfig given = row.read(ConfigReader(json.dump()));
  EXPECT_EQ(given.max_position_embeddings, 512);
  EXPECT_EQ(given.num_key_value_heads, 16);
}

INSTANTIATE_TEST_SUITE_P(All, ConfigDefaults, testing::ValuesIn(rows), [](const auto& p) { return std::string(p.param.family); });

}  // namespace
}  // namespace infernum
