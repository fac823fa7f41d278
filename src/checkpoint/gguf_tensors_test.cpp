// Layouts that files of other writers have: three generations of latent attention, fused matrices, layers of multi-token prediction, mxfp4.
#include "checkpoint/gguf_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "checkpoint/convert.h"
#include "checkpoint/gguf.h"
#include "checkpoint/test_files.h"
#include "quant/quant.h"

namespace infernum {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testutil::error_of;
using testutil::GgufBuilder;
using testutil::little_endian;
using testutil::TemporaryFolder;

struct Opened {
  std::string bytes;
  json config;
  TensorSource tensors;

  explicit Opened(const GgufBuilder& builder) : bytes(builder.file()) {
    Gguf gguf = parse_gguf(std::as_bytes(std::span(bytes)), "x.gguf", nullptr);
    const GgufConfig made = make_gguf_config(gguf);
    config = json::parse(made.json);
    add_gguf_tensors(std::move(gguf.tensors), made, tensors);
  }
  const StoredTensor& operator[](const std::string& name) const {
    const StoredTensor* found = tensors.find(name);
    check(found != nullptr, "no tensor", name);
    return *found;
  }
};

GgufBuilder& f32(GgufBuilder& b, const std::string& name, const std::vector<uint64_t>& ne, float value = 0.5f) {
  uint64_t n = 1;
  for (const uint64_t d : ne) n *= d;
  std::string bytes;
  for (uint64_t i = 0; i < n; ++i) bytes += little_endian(value);
  return b.tensor(name, ne, 0, bytes);
}

GgufBuilder model(const std::string& arch, uint32_t layers = 1) {
  GgufBuilder b;
  b.string("general.architecture", arch);
  const auto add = [&](const std::string& key, uint32_t value) { b.u32(arch + "." + key, value); };
  add("block_count", layers), add("embedding_length", 8), add("feed_forward_length", 16), add("attention.head_count", 2);
  add("context_length", 64);
  b.f32(arch + ".attention.layer_norm_rms_epsilon", 1e-5f);
  return f32(b, "token_embd.weight", {8, 10});
}

GgufBuilder deepseek(uint32_t key_length, uint32_t value_length) {
  GgufBuilder b = model("deepseek2");
  const auto add = [&](const std::string& key, uint32_t value) { b.u32("deepseek2." + key, value); };
  add("attention.kv_lora_rank", 4), add("attention.key_length", key_length), add("attention.value_length", value_length);
  add("rope.dimension_count", 2), add("expert_count", 4), add("expert_used_count", 2), add("expert_feed_forward_length", 8);
  return b;
}

const std::string attention = "model.layers.0.self_attn.";

// 2 heads, latent rank 4, keys of 6 + 2, values of 5.
TEST(GgufTensors, LatentAttentionOfThreeGenerations) {
  GgufBuilder old = deepseek(8, 5);
  const Opened a(f32(old, "blk.0.attn_kv_b.weight", {4, 22}));
  EXPECT_EQ(a[attention + "kv_b_proj.weight"].shape, (Shape{22, 4}));

  GgufBuilder both = deepseek(8, 5);
  f32(f32(f32(both, "blk.0.attn_kv_b.weight", {4, 22}), "blk.0.attn_k_b.weight", {6, 8}), "blk.0.attn_v_b.weight", {4, 10});
  const Opened b(both);
  EXPECT_EQ(b[attention + "kv_b_proj.weight"].shape, (Shape{22, 4}));
  EXPECT_EQ(b.tensors.size(), 2u);  // the parts say the same again

  GgufBuilder flat = deepseek(8, 5);
  const Opened parts(f32(f32(flat, "blk.0.attn_k_b.weight", {6, 8}), "blk.0.attn_v_b.weight", {4, 10}));
  GgufBuilder latent = deepseek(6, 4);
  latent.u32("deepseek2.attention.key_length_mla", 8).u32("deepseek2.attention.value_length_mla", 5);
  latent.u32("deepseek2.attention.head_count_kv", 1);
  const Opened c(f32(f32(latent, "blk.0.attn_k_b.weight", {6, 4, 2}), "blk.0.attn_v_b.weight", {4, 5, 2}));
  for (const Opened* file : {&parts, &c}) {
    EXPECT_EQ((*file)[attention + "k_b_proj.weight"].shape, (Shape{2, 4, 6}));
    EXPECT_EQ((*file)[attention + "v_b_proj.weight"].shape, (Shape{2, 5, 4}));
  }
  for (const Opened* file : {&a, &b, &parts, &c}) {
    EXPECT_EQ(file->config["qk_nope_head_dim"], 6);
    EXPECT_EQ(file->config["v_head_dim"], 5);
    EXPECT_EQ(file->config["num_key_value_heads"], 2);
    EXPECT_EQ(file->config["model_type"], "deepseek_v2");
  }
  GgufBuilder odd = deepseek(8, 5);
  f32(odd, "blk.0.attn_k_b.weight", {6, 7});
  EXPECT_THAT(error_of([&] { Opened{odd}; }), HasSubstr("the rows of the tensor are those of its heads"));
}

TEST(GgufTensors, DeepseekOfOldFiles) {
  GgufBuilder b = deepseek(8, 5);
  b.u32("deepseek2.expert_gating_func", 2);
  EXPECT_EQ(Opened(b).config["model_type"], "deepseek_v3");
  EXPECT_EQ(Opened(b).config["n_group"], 1);
  GgufBuilder groups = deepseek(8, 5);
  groups.u32("deepseek2.expert_group_count", 4).u32("deepseek2.expert_group_used_count", 2);
  EXPECT_EQ(Opened(groups).config["topk_method"], "group_limited_greedy");
  EXPECT_EQ(Opened(groups).config["topk_group"], 2);
  GgufBuilder other = deepseek(8, 5);
  other.u32("deepseek2.expert_gating_func", 3);
  EXPECT_THAT(error_of([&] { Opened{other}; }), HasSubstr("expert_gating_func is not supported"));
}

TEST(GgufTensors, ValuesAreRestored) {
  GgufBuilder b = model("gemma2");
  const Opened file(f32(b, "blk.0.attn_norm.weight", {8}, 1.25f));
  const StoredTensor& norm = file["model.layers.0.input_layernorm.weight"];
  float value = 0;
  dequantize(norm.dtype, norm.data, &value, 1);
  EXPECT_EQ(value, 0.25f);
  EXPECT_EQ(file.config["layer_types"], json::array({"sliding_attention"}));
  EXPECT_EQ(file.config["sliding_window"], 4096);

  GgufBuilder hybrid = model("qwen35");
  for (const char* key : {"ssm.state_size", "ssm.group_count", "ssm.time_step_rank", "ssm.inner_size", "ssm.conv_kernel"})
    hybrid.u32(std::string("qwen35.") + key, 2);
  GgufBuilder wrong = hybrid;
  f32(wrong, "blk.0.ssm_a", {2}, 1.0f);
  EXPECT_THAT(error_of([&] { Opened{wrong}; }), HasSubstr("the decay -exp(A_log) is negative"));
  const Opened decay(f32(f32(hybrid, "blk.0.ssm_a", {2}, -1.0f), "blk.0.ssm_conv1d.weight", {2, 6}));
  EXPECT_EQ(decay["model.layers.0.linear_attn.conv1d.weight"].shape, (Shape{6, 1, 2}));
  dequantize(DType::F32, decay["model.layers.0.linear_attn.A_log"].data, &value, 1);
  EXPECT_EQ(value, 0.0f);
  EXPECT_FALSE(decay.config.contains("linear_value_heads_tiled"));  // as many key heads as value heads
}

TEST(GgufTensors, OtherSpellings) {
  GgufBuilder next = model("glm4moe", 2);
  next.u32("glm4moe.nextn_predict_layers", 1).u32("glm4moe.expert_count", 4).u32("glm4moe.expert_used_count", 2);
  next.u32("glm4moe.expert_feed_forward_length", 8);
  f32(f32(f32(next, "blk.0.ffn_gate_up_exps.weight", {8, 16, 4}), "blk.1.nextn.eh_proj.weight", {16, 8}), "blk.1.attn_norm.weight", {8});
  const Opened file(next);
  EXPECT_EQ(file.config["num_hidden_layers"], 1);
  EXPECT_NE(file.tensors.find("model.layers.0.mlp.experts.gate_up_proj"), nullptr);
  EXPECT_NE(file.tensors.find("model.layers.1.nextn.eh_proj.weight"), nullptr);  // beyond the layers: nobody reads them
  EXPECT_NE(file.tensors.find("model.layers.1.attn_norm.weight"), nullptr);

  GgufBuilder gemma = model("gemma3", 4);
  gemma.u32("gemma3.attention.sliding_window", 16);
  const std::string flags = little_endian<uint32_t>(7) + little_endian<uint64_t>(4) + std::string("\1\0\1\0", 4);
  gemma.raw("gemma3.attention.sliding_window_pattern", 9, flags);
  EXPECT_EQ(Opened(gemma).config["layer_types"],
            json::array({"sliding_attention", "full_attention", "sliding_attention", "full_attention"}));
  GgufBuilder numbers = model("gemma3", 2);
  numbers.u32("gemma3.attention.sliding_window", 16);
  numbers.raw("gemma3.attention.sliding_window_pattern", 9,
              little_endian<uint32_t>(4) + little_endian<uint64_t>(2) + little_endian<uint32_t>(0) + little_endian<uint32_t>(1));
  EXPECT_EQ(Opened(numbers).config["layer_types"], json::array({"full_attention", "sliding_attention"}));
  GgufBuilder few = model("gemma3", 5);
  few.u32("gemma3.attention.sliding_window", 16).raw("gemma3.attention.sliding_window_pattern", 9, flags);
  EXPECT_THAT(error_of([&] { Opened{few}; }), HasSubstr("one flag for each layer"));
}

/// The golden gpt-oss with its experts as blocks of mxfp4, as the released models have them.
TEST(GgufTensors, Mxfp4BlocksAreRepacked) {
  const Checkpoint from = open_checkpoint(INFERNUM_BINARY_DIR "/data/models/gpt-oss");
  const int64_t experts = 8, rows = 256, blocks = 2;
  std::string header = "{", data;
  const auto add = [&](const std::string& name, const char* type, const json& shape, const std::string& bytes) {
    header += (data.empty() ? "" : ",") + json(name).dump() + ":" +
              json{{"dtype", type}, {"shape", shape}, {"data_offsets", {data.size(), data.size() + bytes.size()}}}.dump();
    data += bytes;
  };
  std::string codes, scales;
  for (int64_t i = 0; i < experts * rows * blocks; ++i) {
    for (int64_t j = 0; j < 16; ++j) codes += static_cast<char>((i * 37 + j * 11) & 255);
    scales += static_cast<char>(120 + i % 9);
  }
  for (const StoredTensor& t : from.tensors) {
    if (t.name.ends_with("gate_up_proj")) {
      add(t.name + "_blocks", "U8", {experts, rows, blocks, 16}, codes);
      add(t.name + "_scales", "U8", {experts, rows, blocks}, scales);
      continue;
    }
    json shape = json::array();
    for (int i = 0; i < t.shape.rank(); ++i) shape.push_back(t.shape[i]);
    add(t.name, "BF16", shape, {reinterpret_cast<const char*>(t.data), static_cast<size_t>(t.bytes)});
  }
  header += "}";
  const TemporaryFolder folder;
  folder.write("model.safetensors", little_endian<uint64_t>(header.size()) + header + data);
  json config = json::parse(from.config_json);
  config["quantization_config"] = {{"quant_method", "mxfp4"}};
  folder.write("config.json", config.dump());
  for (const bool whole : {true, false}) {
    convert_to_gguf({folder.path(), folder / "out.gguf", whole ? std::nullopt : std::optional(DType::F32), 1, {}});
    const Checkpoint to = open_checkpoint(folder / "out.gguf");
    for (const int64_t part : {0, 1}) {
      const StoredTensor* got =
          to.tensors.find(std::string("model.layers.1.mlp.experts.") + (part ? "up_proj.weight" : "gate_proj.weight"));
      ASSERT_NE(got, nullptr);
      EXPECT_EQ(got->dtype, whole ? DType::MXFP4 : DType::F32);
      ASSERT_EQ(got->shape, (Shape{experts, rows / 2, 64}));
      std::vector<float> values(static_cast<size_t>(got->shape.elements()));
      dequantize(got->dtype, got->data, values.data(), got->shape.elements());
      constexpr float fp4[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0f, -0.5, -1, -1.5, -2, -3, -4, -6};
      for (int64_t i = 0; i < got->shape.elements(); ++i) {
        const int64_t row = i / 64 * 2 + part, block = row * blocks + i % 64 / 32, in_block = i % 32;
        const auto byte = static_cast<unsigned char>(codes[static_cast<size_t>(block * 16 + in_block / 2)]);
        const float expected = std::ldexp(fp4[in_block % 2 ? byte >> 4 : byte & 15], static_cast<int>(block % 9) - 7);
        ASSERT_EQ(values[static_cast<size_t>(i)], expected) << i;
      }
    }
  }
}

}  // namespace
}  // namespace infernum
