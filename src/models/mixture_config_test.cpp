// What families with mixtures read from their configs: defaults, derived layer types, scales, refusals.
#include "models/mixture_config.h"

#include <gtest/gtest.h>

#include "models/deepseek.h"
#include "models/gpt_oss.h"
#include "models/llama4.h"
#include "models/test_models.h"

namespace infernum {
namespace {

using Json = nlohmann::json;
using test::error_of;
using test::tiny_llama;

template <class Config>
Config read(const Json& changes = Json::object(), int64_t layers = 2) {
  Json json = tiny_llama();
  json["num_hidden_layers"] = layers;
  json.erase("head_dim");
  json.update(changes);
  return Config(ConfigReader{json.dump()});
}

template <class Config>
void expect_refused(const Json& changes, const std::string& part) {
  const auto text = error_of([&] { read<Config>(changes); });
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST(MixtureConfig, DenseLayersComeFirst) {
  const Json base = {{"first_k_dense_replace", 1}, {"n_group", 1}, {"topk_group", 1}};
  auto mixture = read<deepseek::V3Config>(base, 5).mixture;
  EXPECT_FALSE(mixture.is_sparse(0));
  EXPECT_TRUE(mixture.is_sparse(1));
  Json every_other = base;
  every_other["moe_layer_freq"] = 2;
  mixture = read<deepseek::V3Config>(every_other, 5).mixture;
  EXPECT_FALSE(mixture.is_sparse(1));
  EXPECT_TRUE(mixture.is_sparse(2));
}

TEST(MixtureConfig, DefaultsAreThoseOfTheReference) {
  const auto v3 = read<deepseek::V3Config>(Json::object()).mixture;
  EXPECT_EQ(v3.first_k_dense_replace, 3);
  EXPECT_EQ(v3.shape.experts, 256);
  EXPECT_EQ(v3.shape.route.top_k, 8);
  EXPECT_EQ(v3.shape.route.groups, 8);
  EXPECT_EQ(v3.shape.route.kept_groups, 4);
  EXPECT_EQ(v3.shape.route.scoring, RouteParams::Sigmoid);
  EXPECT_EQ(v3.shape.route.group_score, RouteParams::SumOfTwo);
  EXPECT_EQ(v3.shape.route.scale, 2.5f);
  EXPECT_TRUE(v3.shape.route.renormalise);
  EXPECT_TRUE(v3.shape.selection_bias);
  const auto v2 = read<deepseek::V2Config>(Json::object()).mixture;
  EXPECT_EQ(v2.shape.route.scoring, RouteParams::Softmax);
  EXPECT_FALSE(v2.shape.route.renormalise);
  EXPECT_FALSE(v2.shape.selection_bias);
}

TEST(MixtureConfig, SoftmaxRoutersGroupOrScaleOnlyWhenTold) {
  const Json groups = {{"n_group", 8}, {"topk_group", 3}, {"routed_scaling_factor", 16.0}};
  auto m = read<deepseek::V2Config>(groups).mixture;
  EXPECT_EQ(m.shape.route.groups, 1);
  EXPECT_EQ(m.shape.route.scale, 16);
  Json limited = groups;
  limited["topk_method"] = "group_limited_greedy";
  limited["norm_topk_prob"] = true;
  m = read<deepseek::V2Config>(limited).mixture;
  EXPECT_EQ(m.shape.route.groups, 8);
  EXPECT_EQ(m.shape.route.kept_groups, 3);
  EXPECT_EQ(m.shape.route.group_score, RouteParams::Max);
  EXPECT_EQ(m.shape.route.scale, 1) << "weights that sum to one are not scaled";
}

TEST(MixtureConfig, OtherRoutersAreRefused) {
  expect_refused<deepseek::V3Config>({{"scoring_func", "softmax"}}, "scoring_func = softmax ; implemented: sigmoid");
  expect_refused<deepseek::V3Config>({{"topk_method", "greedy"}}, "topk_method = greedy ; implemented: noaux_tc");
  expect_refused<deepseek::V2Config>({{"topk_method", "noaux_tc"}}, "implemented: greedy, group_limited_greedy");
  expect_refused<deepseek::V3Config>({{"n_routed_experts", 10}, {"n_group", 4}}, "10 4");
  expect_refused<deepseek::V3Config>({{"n_routed_experts", 1000000}}, "at most 4096 experts");
  expect_refused<deepseek::V3Config>({{"n_shared_experts", 2000000000}}, "shared experts are too wide");
}

TEST(DeepseekConfig, QueriesAreScaledWithTheSquareOfYarnsFactor) {
  EXPECT_FLOAT_EQ(read<deepseek::V3Config>(Json::object()).latent.scale, 1 / std::sqrt(192.f));
  Json yarn = {{"type", "yarn"},
               {"factor", 40},
               {"beta_fast", 32},
               {"beta_slow", 1},
               {"mscale", 1.0},
               {"mscale_all_dim", 1.0},
               {"original_max_position_embeddings", 4096}};
  EXPECT_NEAR(read<deepseek::V3Config>({{"rope_scaling", yarn}}).latent.scale, 0.1352338, 1e-7);
  yarn["mscale"] = yarn["mscale_all_dim"] = 0.707;
  const auto lite = read<deepseek::V2Config>({{"rope_scaling", yarn}, {"q_lora_rank", nullptr}});
  EXPECT_NEAR(lite.latent.scale, 0.1147214, 1e-7);
  EXPECT_EQ(lite.latent.q_lora_rank, 0);
}

TEST(DeepseekConfig, OnlyTheRotaryPartOfAHeadRotates) {
  const auto c = read<deepseek::V3Config>({{"head_dim", 192}, {"qk_rope_head_dim", 32}});
  ASSERT_EQ(c.ropes.size(), 1u);
  EXPECT_EQ(c.ropes[0].rotary_dim, 32);
  EXPECT_TRUE(c.latent.rope_interleaved);
  EXPECT_FALSE(read<deepseek::V3Config>({{"rope_interleave", false}}).latent.rope_interleaved);
  expect_refused<deepseek::V3Config>({{"qk_head_dim", 100}}, "qk_head_dim is the sum of its two parts: 100 192");
}

TEST(GptOssConfig, EvenLayersHaveWindows) {
  EXPECT_EQ(read<gpt_oss::Config>(Json::object(), 3).windows, (std::vector<int>{128, 0, 128}));
  const auto c = read<gpt_oss::Config>({{"layer_types", {"full_attention", "sliding_attention"}}, {"sliding_window", 5}});
  EXPECT_EQ(c.windows, (std::vector<int>{0, 5}));
  expect_refused<gpt_oss::Config>({{"layer_types", {"linear_attention", "full_attention"}}}, "linear_attention");
}

TEST(GptOssConfig, WithoutRopeKeysYarnIsMeant) {
  const auto c = read<gpt_oss::Config>(Json::object());
  EXPECT_EQ(c.ropes[0].rope_type, "yarn");
  EXPECT_EQ(c.ropes[0].factor, 32);
  EXPECT_FALSE(c.ropes[0].truncate);
  EXPECT_EQ(read<gpt_oss::Config>({{"rope_scaling", {{"rope_type", "linear"}, {"factor", 2}}}}).ropes[0].rope_type, "linear");
  EXPECT_EQ(read<gpt_oss::Config>({{"experts_per_token", 3}}).num_experts_per_tok, 3);
  expect_refused<gpt_oss::Config>({{"experts_per_token", 3}, {"num_experts_per_tok", 4}}, "must agree");
}

TEST(GptOssConfig, ExpertsMayBeMxfp4) {
  EXPECT_EQ(read<gpt_oss::Config>({{"quantization_config", {{"quant_method", "mxfp4"}}}}).swiglu_limit, 7);
  expect_refused<gpt_oss::Config>({{"quantization_config", {{"quant_method", "fp8"}}}}, "fp8 ; implemented: mxfp4");
}

TEST(Llama4Config, EveryFourthLayerHasNoPositions) {
  const auto c = read<llama4::Config>({{"num_hidden_layers", 5}}, 5);
  EXPECT_EQ(c.layer_rope, (std::vector<int>{0, 0, 0, AttentionShape::no_rope, 0}));
  EXPECT_EQ(c.chunks, (std::vector<int>{8192, 8192, 8192, 0, 8192}));
  EXPECT_EQ(c.attention(3).params.chunk, 0);
  EXPECT_EQ(c.attention(4).params.chunk, 8192);
  EXPECT_TRUE(c.attention(4).rope.interleaved);
  const auto listed = read<llama4::Config>({{"no_rope_layers", {0, 1}}, {"attention_chunk_size", 16}});
  EXPECT_EQ(listed.layer_rope, (std::vector<int>{AttentionShape::no_rope, 0}));
  EXPECT_EQ(listed.chunks, (std::vector<int>{0, 16}));
  expect_refused<llama4::Config>({{"no_rope_layers", {1}}}, "an entry for every layer: 1 2");
}

TEST(Llama4Config, MixturesAreListedOrInterleaved) {
  EXPECT_EQ(read<llama4::Config>(Json::object(), 4).sparse, (std::vector<bool>{true, true, true, true}));
  EXPECT_EQ(read<llama4::Config>({{"interleave_moe_layer_step", 2}}, 4).sparse, (std::vector<bool>{false, true, false, true}));
  EXPECT_EQ(read<llama4::Config>({{"moe_layers", {0, 3}}}, 4).sparse, (std::vector<bool>{true, false, false, true}));
  expect_refused<llama4::Config>({{"moe_layers", {2}}}, "moe_layers names layers of the model: 2 2");
}

TEST(Llama4Config, OldFilesSpellTheTemperatureFlagAsANumber) {
  EXPECT_TRUE(read<llama4::Config>({{"attn_temperature_tuning", 4}}).attn_temperature_tuning);
  EXPECT_FALSE(read<llama4::Config>({{"attn_temperature_tuning", 0}}).attn_temperature_tuning);
  EXPECT_FALSE(read<llama4::Config>({{"attn_temperature_tuning", false}}).attn_temperature_tuning);
  expect_refused<llama4::Config>({{"attn_temperature_tuning", "yes"}}, "wanted true or false");
}

}  // namespace
}  // namespace infernum
