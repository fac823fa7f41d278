#include "checkpoint/gguf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "checkpoint/gguf_names.h"
#include "checkpoint/test_files.h"
#include "core/check.h"

namespace infernum {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testutil::error_of;
using testutil::GgufBuilder;
using testutil::little_endian;

Gguf parse(const std::string& file) { return parse_gguf(std::as_bytes(std::span(file)), "x.gguf", nullptr); }
json config_of(const GgufBuilder& b) {
  const std::string file = b.file();
  return json::parse(make_gguf_config(parse(file)).json);
}
std::string rejected(const GgufBuilder& b) {
  return error_of([&] { config_of(b); });
}

/// Every key that all architectures need; `without` leaves one out.
GgufBuilder decoder(const std::string& arch, const std::string& without = "") {
  GgufBuilder b;
  b.string("general.architecture", arch);
  const auto add = [&](const std::string& key, uint32_t value) {
    if (key != without) b.u32(arch + "." + key, value);
  };
  add("block_count", 2), add("embedding_length", 64), add("feed_forward_length", 128), add("attention.head_count", 8);
  add("attention.head_count_kv", 2), add("context_length", 2048);
  if (without != "attention.layer_norm_rms_epsilon") b.f32(arch + ".attention.layer_norm_rms_epsilon", 1e-5f);
  b.tensor("token_embd.weight", {64, 10}, 0, std::string(64 * 10 * 4, '\0'));
  return b;
}

TEST(GgufConfig, StorytellerEqualsItsConfig) {
  const Checkpoint quantised = open_checkpoint("tests/data/gguf/storyteller-Q4_K_M.gguf"), original = open_checkpoint("models/storyteller");
  const json made = json::parse(quantised.config_json), config = json::parse(original.config_json);
  for (const char* key : {"architectures", "model_type", "attention_bias", "mlp_bias", "head_dim", "hidden_act", "hidden_size",
                          "intermediate_size", "max_position_embeddings", "num_attention_heads", "num_hidden_layers", "num_key_value_heads",
                          "rms_norm_eps", "tie_word_embeddings", "vocab_size"})
    EXPECT_EQ(made[key], config[key]) << key;
  EXPECT_EQ(made["rope_parameters"]["rope_theta"], config["rope_parameters"]["rope_theta"]);
  EXPECT_EQ(made["rope_parameters"]["rope_type"], "default");
  EXPECT_EQ(made["rope_parameters"]["rope_interleaved"], true);
  EXPECT_EQ(quantised.chat_template, original.chat_template);
  EXPECT_EQ(quantised.eos_token_ids, original.eos_token_ids);
  ASSERT_NE(quantised.gguf, nullptr);
  EXPECT_EQ(quantised.gguf->array_size("tokenizer.ggml.tokens"), 4096);
  ASSERT_EQ(quantised.tensors.size(), original.tensors.size());
  for (const StoredTensor& tensor : original.tensors) {
    const StoredTensor* same = quantised.tensors.find(tensor.name);
    ASSERT_NE(same, nullptr) << tensor.name;
    EXPECT_EQ(same->shape, tensor.shape) << tensor.name;
  }
}

TEST(GgufConfig, NeededKeysAreNamed) {
  for (const char* key : {"block_count", "embedding_length", "feed_forward_length", "attention.head_count", "context_length",
                          "attention.layer_norm_rms_epsilon"})
    EXPECT_THAT(rejected(decoder("llama", key)), AllOf(HasSubstr("metadata key is missing"), HasSubstr(std::string("\"llama.") + key)))
        << key;
  EXPECT_THAT(rejected(GgufBuilder()), HasSubstr("is missing: \"general.architecture\""));
  EXPECT_THAT(rejected(decoder("clip")), AllOf(HasSubstr("unknown general.architecture"), HasSubstr("\"clip\" known are llama, ")));
  EXPECT_EQ(config_of(decoder("llama", "attention.head_count_kv"))["num_key_value_heads"], 8);
}

TEST(GgufConfig, HostileShapes) {
  EXPECT_THAT(rejected(decoder("llama", "attention.head_count").u32("llama.attention.head_count", 0)), HasSubstr("out of range"));
  EXPECT_THAT(rejected(decoder("llama", "block_count").u32("llama.block_count", 4000000000u)), HasSubstr("out of range"));
  EXPECT_THAT(rejected(decoder("llama", "attention.head_count_kv").u32("llama.attention.head_count_kv", 3)), HasSubstr("do not divide"));
  EXPECT_THAT(rejected(decoder("llama").u32("llama.rope.dimension_count", 16)), HasSubstr("at most the head dimension: 16 8"));
  EXPECT_THAT(rejected(decoder("llama").u32("llama.rope.dimension_count", 3)), HasSubstr("is even"));
  EXPECT_THAT(rejected(decoder("llama").u32("llama.expert_count", 4).u32("llama.expert_used_count", 5)), HasSubstr("out of range"));
  EXPECT_THAT(rejected(decoder("llama").u32("llama.attention.key_length", 8).u32("llama.attention.value_length", 16)),
              HasSubstr("different length"));
  EXPECT_THAT(rejected(decoder("llama").f32("llama.rope.freq_base", -1)), HasSubstr("not positive"));
  EXPECT_THAT(rejected(decoder("llama").f32("llama.rope.freq_base", NAN)), HasSubstr("not finite"));
  EXPECT_THAT(rejected(decoder("llama").strings("tokenizer.ggml.tokens", std::vector<std::string>(11, "t"))),
              HasSubstr("more tokens than rows"));
  const std::string varying =
      little_endian<uint32_t>(4) + little_endian<uint64_t>(2) + little_endian<uint32_t>(1) + little_endian<uint32_t>(2);
  EXPECT_THAT(rejected(decoder("llama", "attention.head_count_kv").raw("llama.attention.head_count_kv", 9, varying)),
              HasSubstr("differs between layers"));
}

TEST(GgufConfig, LlamaVariants) {
  EXPECT_EQ(config_of(decoder("llama"))["tie_word_embeddings"], true);
  EXPECT_EQ(config_of(decoder("llama").tensor("output.weight", {4}, 0, std::string(16, '\0')))["tie_word_embeddings"], false);
  EXPECT_EQ(config_of(decoder("llama").tensor("blk.0.attn_q.bias", {4}, 0, std::string(16, '\0')))["attention_bias"], true);
  EXPECT_EQ(config_of(decoder("llama").u32("llama.rope.dimension_count", 4))["rope_parameters"]["partial_rotary_factor"], 0.5);
  const json mistral = config_of(decoder("llama").u32("llama.attention.sliding_window", 4096));
  EXPECT_EQ(mistral["model_type"], "mistral");
  EXPECT_EQ(mistral["architectures"], json::array({"MistralForCausalLM"}));
  EXPECT_EQ(mistral["sliding_window"], 4096);
  const json mixtral = config_of(decoder("llama").u32("llama.expert_count", 8).u32("llama.expert_used_count", 2));
  EXPECT_EQ(mixtral["architectures"], json::array({"MixtralForCausalLM"}));
  EXPECT_EQ(mixtral["model_type"], "mixtral");
  EXPECT_EQ(mixtral["num_local_experts"], 8);
  EXPECT_EQ(mixtral["num_experts_per_tok"], 2);
  EXPECT_EQ(mixtral["intermediate_size"], 128);
  EXPECT_TRUE(mixtral["sliding_window"].is_null());
  EXPECT_TRUE(mixtral.contains("sliding_window"));
}

TEST(GgufConfig, QwenFamilies) {
  const json qwen2 = config_of(decoder("qwen2"));
  EXPECT_EQ(qwen2["architectures"], json::array({"Qwen2ForCausalLM"}));
  EXPECT_FALSE(qwen2["rope_parameters"].contains("rope_interleaved"));
  EXPECT_THAT(rejected(decoder("qwen3")), HasSubstr("is missing: \"qwen3.attention.key_length\""));
  const json qwen3 = config_of(decoder("qwen3").u32("qwen3.attention.key_length", 16));
  EXPECT_EQ(qwen3["head_dim"], 16);
  EXPECT_EQ(qwen3["model_type"], "qwen3");
  EXPECT_EQ(qwen3["attention_bias"], false);
  const auto moe = [] {
    return decoder("qwen3moe")
        .u32("qwen3moe.attention.key_length", 16)
        .u32("qwen3moe.expert_count", 4)
        .u32("qwen3moe.expert_used_count", 2);
  };
  EXPECT_THAT(rejected(moe()), HasSubstr("is missing: \"qwen3moe.expert_feed_forward_length\""));
  GgufBuilder full = moe();
  full.u32("qwen3moe.expert_feed_forward_length", 32).tensor("blk.1.ffn_gate.weight", {4}, 0, std::string(16, '\0'));
  const json config = config_of(full);
  EXPECT_EQ(config["model_type"], "qwen3_moe");
  EXPECT_EQ(config["num_experts"], 4);
  EXPECT_EQ(config["moe_intermediate_size"], 32);
  EXPECT_EQ(config["intermediate_size"], 128);
  EXPECT_EQ(config["norm_topk_prob"], true);
  EXPECT_EQ(config["mlp_only_layers"], json::array({1}));
  EXPECT_THAT(rejected(full.u32("qwen3moe.expert_gating_func", 2)), HasSubstr("expert_gating_func is not supported"));
}

std::string floats(const std::vector<float>& values) {
  std::string bytes;
  for (float value : values) bytes += little_endian(value);
  return bytes;
}

TEST(GgufConfig, RopeScaling) {
  const auto rope = [](const GgufBuilder& b) { return config_of(b)["rope_parameters"]; };
  EXPECT_EQ(rope(decoder("llama"))["rope_theta"], 10000.0);
  EXPECT_EQ(rope(decoder("llama").f32("llama.rope.freq_base", 5e5f))["rope_theta"], 5e5);
  const json linear = rope(decoder("qwen2").string("qwen2.rope.scaling.type", "linear").f32("qwen2.rope.scaling.factor", 4));
  EXPECT_EQ(linear, (json{{"rope_type", "linear"}, {"factor", 4.0}, {"rope_theta", 10000.0}}));
  EXPECT_EQ(rope(decoder("qwen2").f32("qwen2.rope.scale_linear", 2))["factor"], 2.0);
  EXPECT_EQ(rope(decoder("qwen2").string("qwen2.rope.scaling.type", "none").f32("qwen2.rope.scaling.factor", 4))["rope_type"], "default");
  EXPECT_THAT(rejected(decoder("qwen2").string("qwen2.rope.scaling.type", "spiral")), HasSubstr("\"spiral\""));

  GgufBuilder b = decoder("qwen2");
  b.string("qwen2.rope.scaling.type", "yarn").f32("qwen2.rope.scaling.factor", 4).f32("qwen2.rope.scaling.yarn_beta_fast", 16);
  EXPECT_EQ(rope(b)["original_max_position_embeddings"], 2048);
  const json yarn = rope(b.u32("qwen2.rope.scaling.original_context_length", 512));
  EXPECT_EQ(yarn["rope_type"], "yarn");
  EXPECT_EQ(yarn["factor"], 4.0);
  EXPECT_EQ(yarn["beta_fast"], 16.0);
  EXPECT_EQ(yarn["original_max_position_embeddings"], 512);
  EXPECT_EQ(yarn["truncate"], true);
  EXPECT_NEAR(yarn["attention_factor"].get<double>(), 1.138629, 1e-6);
  EXPECT_NEAR(rope(b.f32("qwen2.rope.scaling.attn_factor", 2))["attention_factor"].get<double>(), 2 * 1.138629, 1e-6);
  EXPECT_THAT(rejected(decoder("qwen2").string("qwen2.rope.scaling.type", "yarn")), HasSubstr("yarn needs a positive factor"));
}

TEST(GgufConfig, WhatIsWorkedOutOfMetadataIsFinite) {
  constexpr uint32_t f64 = 12;
  EXPECT_THAT(rejected(decoder("gemma2").raw("gemma2.attention.scale", f64, little_endian(1e-200))),
              HasSubstr("a value that is not finite: query_pre_attn_scalar inf"));
  EXPECT_THAT(rejected(decoder("llama")
                           .string("llama.rope.scaling.type", "yarn")
                           .f32("llama.rope.scaling.factor", 2)
                           .raw("llama.rope.scaling.yarn_log_multiplier", f64, little_endian(1e300))),
              HasSubstr("a value that is not finite: "));
}

TEST(GgufConfig, RopeFactorTensors) {
  const auto rope = [](const GgufBuilder& b) { return config_of(b)["rope_parameters"]; };
  const std::string four = floats({1, 2.5f, 0.1f, 1e30f});
  EXPECT_EQ(rope(decoder("llama").tensor("rope_freqs.weight", {4}, 0, four))["inv_freq_divisors"], json({1.0, 2.5, 0.1, 1e30}));
  EXPECT_THAT(rejected(decoder("llama").tensor("rope_freqs.weight", {3}, 0, four)), HasSubstr("one F32 for each pair of dimensions"));
  EXPECT_THAT(rejected(decoder("llama").tensor("rope_freqs.weight", {4}, 0, floats({1, 0, 1, 1}))), HasSubstr("positive number"));
  EXPECT_THAT(rejected(decoder("llama").tensor("rope_freqs.weight", {4}, 0, floats({1, NAN, 1, 1}))), HasSubstr("positive number"));
  GgufBuilder b = decoder("llama").tensor("rope_factors_long.weight", {4}, 0, four);
  EXPECT_THAT(rejected(b), HasSubstr("come together"));
  b.tensor("rope_factors_short.weight", {4}, 0, floats({1, 1, 1, 1}));
  EXPECT_THAT(rejected(b), HasSubstr("original_context_length"));
  b.u32("llama.rope.scaling.original_context_length", 256).f32("llama.rope.scaling.attn_factor", 1.25f);
  const json longrope = rope(b);
  EXPECT_EQ(longrope["rope_type"], "longrope");
  EXPECT_EQ(longrope["long_factor"].size(), 4u);
  EXPECT_EQ(longrope["short_factor"], json({1.0, 1.0, 1.0, 1.0}));
  EXPECT_EQ(longrope["attention_factor"], 1.25);
}

TEST(GgufConfig, UnknownKeysAreMentionedOnce) {
  testing::internal::CaptureStderr();
  config_of(decoder("qwen2").u32("qwen2.attention.sliding_window", 512).u32("qwen2.magic", 1).u32("other.magic", 1));
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("not understood and ignored: \"qwen2.attention.sliding_window\", \"qwen2.magic\"\n"));
  testing::internal::CaptureStderr();
  open_checkpoint("tests/data/gguf/storyteller-Q4_K_M.gguf");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(GgufConfig, StopTokens) {
  GgufBuilder b = decoder("llama");
  b.u32("tokenizer.ggml.eos_token_id", 7).u32("tokenizer.ggml.eot_token_id", 3).u32("tokenizer.ggml.eom_token_id", 7);
  b.u32("tokenizer.ggml.bos_token_id", 1).u32("tokenizer.ggml.padding_token_id", 4000);
  const std::string file = b.file();
  const GgufConfig made = make_gguf_config(parse(file));
  EXPECT_THAT(made.eos_token_ids, ElementsAre(3, 7));
  const json config = json::parse(made.json);
  EXPECT_EQ(config["eos_token_id"], json::array({3, 7}));
  EXPECT_EQ(config["bos_token_id"], 1);
  EXPECT_FALSE(config.contains("pad_token_id"));
}

TEST(GgufNames, BothDirections) {
  const auto same = [](const char* gguf, const char* hugging_face, const char* model_type) {
    const auto read = hugging_face_name(gguf, *find_gguf_family(model_type));
    ASSERT_TRUE(read.has_value()) << gguf;
    EXPECT_EQ(read->name, hugging_face);
    const auto written = gguf_names(hugging_face, *find_gguf_family(model_type));
    ASSERT_EQ(written.size(), 1u) << hugging_face;
    EXPECT_EQ(written[0].name, gguf);
  };
  same("token_embd.weight", "model.embed_tokens.weight", "llama");
  same("output.weight", "lm_head.weight", "llama");
  same("output_norm.weight", "model.norm.weight", "llama");
  same("blk.12.attn_q.bias", "model.layers.12.self_attn.q_proj.bias", "qwen2");
  same("blk.0.attn_k_norm.weight", "model.layers.0.self_attn.k_norm.weight", "qwen3");
  same("blk.3.ffn_norm.weight", "model.layers.3.post_attention_layernorm.weight", "llama");
  same("blk.3.ffn_gate_inp.weight", "model.layers.3.mlp.gate.weight", "qwen3_moe");
  same("blk.3.ffn_up_exps.weight", "model.layers.3.mlp.experts.up_proj.weight", "qwen3_moe");
  same("blk.3.ffn_gate_inp.weight", "model.layers.3.block_sparse_moe.gate.weight", "mixtral");
  same("blk.3.ffn_gate_exps.weight", "model.layers.3.block_sparse_moe.experts.w1.weight", "mixtral");
  same("blk.3.ffn_up_exps.weight", "model.layers.3.block_sparse_moe.experts.w3.weight", "mixtral");
  same("blk.3.ffn_down_exps.weight", "model.layers.3.block_sparse_moe.experts.w2.weight", "mixtral");
  const GgufFamily& mixtral = *find_gguf_family("mixtral");
  EXPECT_EQ(hugging_face_name("blk.3.ffn_down.7.weight", mixtral)->name, "model.layers.3.block_sparse_moe.experts.7.w2.weight");
  const auto expert = gguf_names("model.layers.3.block_sparse_moe.experts.7.w2.weight", mixtral);
  ASSERT_EQ(expert.size(), 1u);
  EXPECT_EQ(expert[0].name, "blk.3.ffn_down_exps.weight");
  EXPECT_EQ(expert[0].expert, 7);
  EXPECT_EQ(expert[0].layer, 3);
  EXPECT_EQ(gguf_names("model.layers.0.self_attn.kv_b_proj.weight", *find_gguf_family("deepseek_v3")).size(), 2u);
  same("blk.3.attn_output.weight", "model.layers.3.self_attn.o_proj.weight", "mixtral");
  for (const char* unknown : {"rope_freqs.weight", "blk.x.attn_q.weight", "blk.1.attn_q", "blk.1.attn_q.scale", "blk.1", "", ".",
                              "blk..attn_q.weight", "blk.1.attn_q.weight.weight", "blk.1.ffn_gate.x.weight", "blk.9999999.attn_q.weight"})
    EXPECT_FALSE(hugging_face_name(unknown, *find_gguf_family("llama")).has_value()) << unknown;
}

}  // namespace
}  // namespace infernum
