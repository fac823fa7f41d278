// Mixtures and latent attention against the reference: every constant of their configs bites, the cache holds latents only, and a step
// reads the experts it chose and no others.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "models/families.h"
#include "models/synthetic.h"
#include "support/golden.h"
#include "support/run_model.h"

namespace infernum {
namespace {

using Json = nlohmann::json;
using test::Golden;
using test::relative_error;

constexpr double tolerance = 1e-4;

Json config_of(const std::string& variant) {
  std::ifstream file(test::data("models/" + variant + "/config.json"));
  return Json::parse(file);
}

std::unique_ptr<Model> load(const std::string& variant, const Json& config, ModelOptions options = {}) {
  Checkpoint checkpoint = open_checkpoint(test::data("models/" + variant));
  checkpoint.config_json = config.dump();
  options.threads = 2;
  options.bf16_frequencies = true;  // as the recordings were made
  return load_model(checkpoint, options);
}

double logits_error(const std::string& variant, const Json& config, const ModelOptions& options = {}) {
  const Golden golden(test::data("models/" + variant + "/golden.safetensors"));
  const auto model = load(variant, config, options);
  const auto ids = golden.ids("prompt2.ids");
  const auto want = golden.floats("prompt2.logits");
  auto got = test::SingleSequence(*model, static_cast<int64_t>(ids.size())).append(ids);
  got.erase(got.begin(), got.end() - static_cast<std::ptrdiff_t>(want.size()));
  return relative_error(got, want);
}

/// A constant of a variant changed, as a JSON merge patch.
struct Change {
  std::string variant, patch;
};

class Mixtures : public testing::TestWithParam<Change> {};

TEST_P(Mixtures, EveryConstantMatters) {
  Json config = config_of(GetParam().variant);
  EXPECT_LE(logits_error(GetParam().variant, config), tolerance);
  config.merge_patch(Json::parse(GetParam().patch));
  EXPECT_GT(logits_error(GetParam().variant, config), tolerance) << GetParam().variant << " " << GetParam().patch;
}

INSTANTIATE_TEST_SUITE_P(
    All, Mixtures,
    testing::Values(Change{"deepseek-v2", R"({"routed_scaling_factor": 1.1})"}, Change{"deepseek-v2", R"({"norm_topk_prob": true})"},
                    Change{"deepseek-v2", R"({"num_experts_per_tok": 3})"},
                    Change{"deepseek-v2", R"({"topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 1})"},
                    Change{"deepseek-v3", R"({"routed_scaling_factor": 2.4})"}, Change{"deepseek-v3", R"({"norm_topk_prob": false})"},
                    Change{"deepseek-v3", R"({"topk_group": 4})"}, Change{"deepseek-v3", R"({"rope_interleave": false})"},
                    Change{"deepseek-v3", R"({"rope_parameters": {"mscale_all_dim": 0.5, "mscale": 0.5}})"},
                    Change{"deepseek-v3", R"({"rope_parameters": {"factor": 4}})"}, Change{"glm4-moe", R"({"routed_scaling_factor": 1.1})"},
                    Change{"glm4-moe", R"({"norm_topk_prob": false})"}, Change{"glm4-moe", R"({"partial_rotary_factor": 1.0})"},
                    Change{"gpt-oss", R"({"swiglu_limit": 0.01})"}, Change{"gpt-oss", R"({"num_experts_per_tok": 3})"},
                    Change{"gpt-oss", R"({"rope_parameters": {"truncate": true}})"},
                    Change{"gpt-oss", R"({"layer_types": ["full_attention", "sliding_attention"]})"},
                    Change{"llama4-text", R"({"attention_chunk_size": 31})"}, Change{"llama4-text", R"({"no_rope_layers": [1, 1, 1, 1]})"},
                    Change{"llama4-text", R"({"floor_scale": 16})"}, Change{"llama4-text", R"({"use_qk_norm": false})"},
                    Change{"llama4-text", R"({"num_experts_per_tok": 2})"}));

TEST(LatentCache, HoldsOneRowPerTokenForAllHeads) {
  const auto info = load("deepseek-v3", config_of("deepseek-v3"))->info();
  ASSERT_EQ(info.states.size(), 2u);
  for (const SequenceState& state : info.states) {
    EXPECT_EQ(state.block_bytes(DType::BF16), block_tokens * (512 + 64) * 2);
    EXPECT_EQ(state.retention.kind, Retention::Kind::All);
  }
}

TEST(LatentCache, IsWholeOnEveryRank) {
  ModelOptions two;
  two.ranks = 2;
  const auto config = config_of("deepseek-v3");
  EXPECT_EQ(load("deepseek-v3", config, two)->info().states[0].block_bytes(DType::F16), block_tokens * (512 + 64) * 2);
  EXPECT_LE(logits_error("deepseek-v3", config, two), tolerance);
}

/// Bytes that the expert products of a decode step move.
double expert_bytes(Json config, int64_t per_token) {
  config["num_experts_per_tok"] = per_token;
  SyntheticSource source(DType::BF16);
  const ConfigReader reader(config.dump());
  const auto report = find_family(reader).trace(reader, source, {}, 16);
  double bytes = 0;
  for (const TraceNode& node : report.decode.graph.nodes)
    if (node.op == "expert_matmul") bytes += node.cost.bytes;
  return bytes;
}

TEST(Experts, ADecodeStepReadsTheChosenOnly) {
  const Json config = config_of("glm4-moe");
  const double one = expert_bytes(config, 1), two = expert_bytes(config, 2), all = expert_bytes(config, 8);
  const double expert = 3 * 64 * 64 * 2;  // gate, up and down in BF16; one layer of two is a mixture
  EXPECT_NEAR(one, expert, 0.1 * expert);
  EXPECT_NEAR(all - two, 6 * (two - one), 1) << "the token itself is read once";
  EXPECT_NEAR(two - one, expert, 0.1 * expert);
}

}  // namespace
}  // namespace infernum
