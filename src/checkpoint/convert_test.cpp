// Conversion to GGUF: the file means what the checkpoint meant, and equals what llama.cpp makes of the same model.
#include "checkpoint/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "checkpoint/gguf.h"
#include "checkpoint/test_files.h"
#include "quant/quant.h"

namespace infernum {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testutil::error_of;
using testutil::TemporaryFolder;

constexpr const char* storyteller = "models/storyteller";
const std::string models = INFERNUM_BINARY_DIR "/data/models/";

std::vector<float> floats(const StoredTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.shape.elements()));
  dequantize(tensor.dtype, tensor.data, values.data(), tensor.shape.elements());
  return values;
}

std::string bytes(const StoredTensor& tensor) { return {reinterpret_cast<const char*>(tensor.data), static_cast<size_t>(tensor.bytes)}; }

const StoredTensor& tensor_of(const Gguf& gguf, const std::string& name) {
  for (const StoredTensor& tensor : gguf.tensors)
    if (tensor.name == name) return tensor;
  throw Error("no tensor " + name);
}

/// Rows (n, 2, D/2) of every head as (n, D/2, 2): what the conversion does to q and k of the architecture llama.
std::vector<float> paired(const std::vector<float>& rows, int64_t heads, int64_t row_count) {
  const int64_t head_rows = row_count / heads, length = static_cast<int64_t>(rows.size()) / row_count;
  std::vector<float> out(rows.size());
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t j = 0; j < 2; ++j)
      for (int64_t i = 0; i < head_rows / 2; ++i)
        std::copy_n(rows.begin() + (h * head_rows + j * head_rows / 2 + i) * length, length,
                    out.begin() + (h * head_rows + 2 * i + j) * length);
  return out;
}

/// Every weight of the Hugging Face folder is in the file, exactly.
void expect_same_weights(const Checkpoint& from, const Checkpoint& to) {
  const json config = json::parse(from.config_json);
  const bool permuted = config["model_type"] == "llama" || config["model_type"] == "mistral" || config["model_type"] == "mixtral";
  size_t used = 0;
  for (const StoredTensor& tensor : from.tensors) {
    std::string name = tensor.name;
    int64_t expert = -1;
    if (const size_t at = name.find("experts."); at != std::string::npos) {
      const size_t number = at + 8, dot = name.find('.', number);
      expert = std::stoll(name.substr(number, dot - number));
      name.erase(number, dot + 1 - number);
    }
    const StoredTensor* stored = to.tensors.find(name);
    if (!stored && name == "lm_head.weight" && config["tie_word_embeddings"] == true) continue;
    ASSERT_NE(stored, nullptr) << name;
    std::vector<float> expected = floats(tensor), got = floats(*stored);
    if (permuted && name.find("q_proj") != std::string::npos) expected = paired(expected, config["num_attention_heads"], tensor.shape[0]);
    if (permuted && name.find("k_proj") != std::string::npos) expected = paired(expected, config["num_key_value_heads"], tensor.shape[0]);
    if (expert >= 0) {
      const auto n = static_cast<std::ptrdiff_t>(expected.size());
      got = {got.begin() + expert * n, got.begin() + (expert + 1) * n};
    } else {
      ++used;
    }
    EXPECT_EQ(got, expected) << name;
  }
  EXPECT_GT(used, 3u);
}

Checkpoint converted(const TemporaryFolder& folder, const std::string& input, DType type) {
  const std::string output = folder / "out.gguf";
  convert_to_gguf({input, output, type, 2, {}});
  return open_checkpoint(output);
}

class EveryFamily : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Convert, EveryFamily,
                         ::testing::Values("llama-gqa", "llama2-mha", "llama-bias", "llama3-rope", "llama-yarn", "llama-linear-rope",
                                           "mistral-swa", "mixtral", "qwen2-tied", "qwen3", "qwen3-moe", "qwen3-moe-nonorm"),
                         [](const auto& p) {
                           std::string name = p.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(EveryFamily, KeepsConfigurationAndWeights) {
  const TemporaryFolder folder;
  const Checkpoint from = open_checkpoint(models + GetParam()), to = converted(folder, models + GetParam(), DType::BF16);
  expect_same_weights(from, to);
  json before = json::parse(from.config_json), after = json::parse(to.config_json);
  for (const char* key : {"model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
                          "intermediate_size", "vocab_size", "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings",
                          "num_experts_per_tok", "moe_intermediate_size", "norm_topk_prob", "sliding_window", "attention_bias", "mlp_bias"})
    if (before.contains(key) && after.contains(key)) {
      EXPECT_EQ(before[key], after[key]) << key;
    }
  const json rope_before = before["rope_parameters"], rope_after = after["rope_parameters"];
  for (const char* key : {"rope_theta", "factor", "original_max_position_embeddings"})
    if (rope_before.contains(key) && rope_before["rope_type"] != "llama3") {
      EXPECT_EQ(rope_before[key], rope_after[key]) << key;
    }
  if (rope_before["rope_type"] == "yarn") {
    EXPECT_NEAR(rope_after["attention_factor"].get<double>(), 0.1 * std::log(4.0) + 1, 1e-6);
  }
}

TEST(Convert, Llama3ScalingBecomesDivisors) {
  const TemporaryFolder folder;
  const json rope = json::parse(converted(folder, models + "llama3-rope", DType::F32).config_json)["rope_parameters"];
  const auto divisors = rope["inv_freq_divisors"].get<std::vector<double>>();
  ASSERT_EQ(divisors.size(), 32u);
  // theta 5e5, factor 32, 64 positions, head 64: wavelengths below 16 are kept, above 64 divided, between them blended.
  for (size_t i = 0; i < 32; ++i) {
    const double wavelength = 2 * M_PI * std::pow(5e5, static_cast<double>(i) / 32);
    if (wavelength < 16) {
      EXPECT_EQ(divisors[i], 1) << i;
    } else if (wavelength > 64) {
      EXPECT_EQ(divisors[i], 32) << i;
    } else {
      const double smooth = (64 / wavelength - 1) / 3;
      EXPECT_NEAR(1 / divisors[i], (1 - smooth) / 32 + smooth, 1e-6) << i;
    }
  }
}

/// The share of equal blocks.
double equal_blocks(const StoredTensor& a, const StoredTensor& b) {
  const int64_t block = info(a.dtype).bytes, blocks = a.bytes / block;
  int64_t equal = 0;
  for (int64_t i = 0; i < blocks; ++i) equal += std::memcmp(a.data + i * block, b.data + i * block, static_cast<size_t>(block)) == 0;
  return static_cast<double>(equal) / static_cast<double>(blocks);
}

double distance(const StoredTensor& a, const StoredTensor& b) {
  const std::vector<float> x = floats(a), y = floats(b);
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += (static_cast<double>(x[i]) - y[i]) * (static_cast<double>(x[i]) - y[i]);
  return std::sqrt(sum);
}

// llama.cpp made tests/data/gguf/storyteller-Q4_K_M.gguf of the same model. Its Q4_K tensors come out here byte for byte. In Q6_K a few
// blocks have two scales whose errors differ by less than the rounding of the sums; either choice is as good.
TEST(Convert, EqualsLlamaCppOnTheStoryteller) {
  const TemporaryFolder folder;
  const Gguf reference = open_gguf("tests/data/gguf/storyteller-Q4_K_M.gguf");
  Conversion conversion{storyteller, folder / "ours.gguf", DType::F32, 2, {}};
  set_target(conversion, "Q4_K_M");
  convert_to_gguf(conversion);
  convert_to_gguf({storyteller, folder / "exact.gguf", DType::BF16, 2, {}});
  const Gguf ours = open_gguf(folder / "ours.gguf"), exact = open_gguf(folder / "exact.gguf");
  EXPECT_EQ(ours.tensors.size(), reference.tensors.size());
  for (const StoredTensor& expected : reference.tensors) {
    const StoredTensor& got = tensor_of(ours, expected.name);
    ASSERT_EQ(got.dtype, expected.dtype) << expected.name;
    EXPECT_EQ(got.shape, expected.shape) << expected.name;
    if (expected.dtype != DType::Q6_K) {
      EXPECT_TRUE(bytes(got) == bytes(expected)) << expected.name;
      continue;
    }
    EXPECT_GE(equal_blocks(got, expected), 0.95) << expected.name;
    const StoredTensor& truth = tensor_of(exact, expected.name);
    EXPECT_LE(distance(got, truth), 1.001 * distance(expected, truth)) << expected.name;
  }

  const GgufMetadata &metadata = *ours.metadata, &wanted = *reference.metadata;
  for (const char* key :
       {"llama.context_length", "llama.embedding_length", "llama.block_count", "llama.feed_forward_length", "llama.attention.head_count",
        "llama.attention.head_count_kv", "llama.attention.key_length", "llama.attention.value_length", "llama.rope.dimension_count",
        "llama.vocab_size", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.padding_token_id",
        "general.quantization_version", "general.file_type"})
    EXPECT_EQ(metadata.find_int(key), wanted.find_int(key)) << key;
  for (const char* key : {"general.architecture", "general.name", "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.chat_template"})
    EXPECT_EQ(metadata.find_string(key), wanted.find_string(key)) << key;
  for (const char* key : {"llama.rope.freq_base", "llama.attention.layer_norm_rms_epsilon"})
    EXPECT_EQ(metadata.find_float(key), wanted.find_float(key)) << key;
  EXPECT_EQ(metadata.find_bool("tokenizer.ggml.add_bos_token"), false);
  EXPECT_EQ(metadata.find_strings("tokenizer.ggml.tokens"), wanted.find_strings("tokenizer.ggml.tokens"));
  EXPECT_EQ(metadata.find_strings("tokenizer.ggml.merges"), wanted.find_strings("tokenizer.ggml.merges"));
  EXPECT_EQ(metadata.find_ints("tokenizer.ggml.token_type"), wanted.find_ints("tokenizer.ggml.token_type"));
}

TEST(Convert, MixturesNeedKQuants) {
  Conversion conversion;
  set_target(conversion, "q5_k_m");
  EXPECT_EQ(conversion.type, DType::Q5_K);
  EXPECT_TRUE(conversion.medium);
  set_target(conversion, "Q8_0");
  EXPECT_FALSE(conversion.medium);
  EXPECT_THAT(error_of([&] { set_target(conversion, "Q8_0_M"); }), HasSubstr("M mixture, not: Q8_0"));
  EXPECT_THAT(error_of([&] { set_target(conversion, "M"); }), HasSubstr("unknown type"));
}

TEST(Convert, KeepsTheTextFiles) {
  const TemporaryFolder folder;
  const Checkpoint from = open_checkpoint(storyteller), to = converted(folder, storyteller, DType::Q8_0);
  EXPECT_EQ(to.chat_template, from.chat_template);
  EXPECT_EQ(to.eos_token_ids, from.eos_token_ids);
  EXPECT_EQ(to.gguf->find_string("tokenizer.huggingface.json"), from.tokenizer_json);
  convert_to_gguf({folder / "out.gguf", folder / "again.gguf", DType::F16, 1, {}});
  const Gguf again = open_gguf(folder / "again.gguf");
  EXPECT_EQ(again.metadata->find_string("tokenizer.huggingface.json"), from.tokenizer_json);
  EXPECT_EQ(again.metadata->find_strings("tokenizer.ggml.tokens"), to.gguf->find_strings("tokenizer.ggml.tokens"));
  EXPECT_EQ(again.metadata->values().size(), to.gguf->values().size() - 1);  // no quantization_version
}

TEST(Convert, EveryTypeGivesItsBlocks) {
  const TemporaryFolder folder;
  const std::string model = models + "llama-gqa", matrix = "model.layers.1.self_attn.o_proj.weight";  // rows of 256
  const std::vector<float> x = floats(*open_checkpoint(model).tensors.find(matrix));
  for (const char* name : {"f32", "F16", "bf16", "q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "iq4_nl",
                           "IQ4_XS", "MXFP4", "TQ1_0", "TQ2_0"}) {
    const DType type = parse_gguf_type(name);
    const Checkpoint to = converted(folder, model, type);
    const StoredTensor& got = *to.tensors.find(matrix);
    EXPECT_EQ(got.dtype, type);
    std::string expected(static_cast<size_t>(bytes_of(type, static_cast<int64_t>(x.size()))), '\0');
    quantize(type, x.data(), reinterpret_cast<std::byte*>(expected.data()), static_cast<int64_t>(x.size()));
    EXPECT_TRUE(bytes(got) == expected) << name;
    EXPECT_EQ(to.tensors.find("model.embed_tokens.weight")->dtype, fallback_type(type, 64)) << name;
    EXPECT_EQ(to.tensors.find("model.norm.weight")->dtype, DType::F32);
  }
  EXPECT_THAT(error_of([] { parse_gguf_type("Q4_K_X"); }), HasSubstr("Q4_K_X known are F32 F16"));
  EXPECT_THAT(error_of([&] { converted(folder, model, DType::IQ3_S); }), HasSubstr("IQ3_S"));
}

TEST(Convert, RequantisesGgufFiles) {
  const TemporaryFolder folder;
  const std::string half = folder / "half.gguf", direct = folder / "direct.gguf", again = folder / "again.gguf",
                    same = folder / "same.gguf";
  convert_to_gguf({models + "llama-gqa", half, DType::BF16, 2, {}});
  convert_to_gguf({models + "llama-gqa", direct, DType::Q5_K, 2, {}});
  convert_to_gguf({half, again, DType::Q5_K, 1, {}});
  convert_to_gguf({again, same, DType::Q5_K, 1, {}});
  const Gguf a = open_gguf(direct), b = open_gguf(again), c = open_gguf(same);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    EXPECT_EQ(a.tensors[i].name, b.tensors[i].name);
    EXPECT_TRUE(bytes(a.tensors[i]) == bytes(b.tensors[i])) << a.tensors[i].name;
    EXPECT_TRUE(bytes(a.tensors[i]) == bytes(c.tensors[i])) << a.tensors[i].name;
  }
  for (const auto& [key, value] : a.metadata->values()) EXPECT_EQ(b.metadata->values().at(key).index(), value.index()) << key;
  EXPECT_EQ(a.metadata->values().size(), b.metadata->values().size());
  EXPECT_EQ(b.metadata->find_int("general.file_type"), 16);
}

TEST(Convert, FallsBackWhereRowsAreNoWholeBlocks) {
  EXPECT_EQ(fallback_type(DType::Q4_K, 512), DType::Q4_K);
  EXPECT_EQ(fallback_type(DType::Q4_K, 320), DType::Q5_0);
  EXPECT_EQ(fallback_type(DType::Q5_K, 320), DType::Q5_1);
  EXPECT_EQ(fallback_type(DType::Q6_K, 320), DType::Q8_0);
  EXPECT_EQ(fallback_type(DType::Q2_K, 320), DType::IQ4_NL);
  EXPECT_EQ(fallback_type(DType::IQ4_XS, 320), DType::IQ4_NL);
  EXPECT_EQ(fallback_type(DType::TQ2_0, 320), DType::Q4_0);
  EXPECT_EQ(fallback_type(DType::Q4_K, 40), DType::F16);
  EXPECT_EQ(fallback_type(DType::Q8_0, 40), DType::F16);
  EXPECT_EQ(fallback_type(DType::BF16, 40), DType::BF16);
  EXPECT_TRUE(stays_f32("blk.0.attn_q_norm.weight", 2));
  EXPECT_TRUE(stays_f32("blk.0.ffn_gate_inp.weight", 2));
  EXPECT_TRUE(stays_f32("blk.0.attn_q.bias", 1));
  EXPECT_FALSE(stays_f32("blk.0.ffn_gate_exps.weight", 3));
  const TemporaryFolder folder;
  const Checkpoint to = converted(folder, models + "qwen3-moe", DType::Q6_K);  // rows of 64
  EXPECT_EQ(to.tensors.find("model.layers.0.mlp.experts.up_proj.weight")->dtype, DType::Q8_0);
  EXPECT_EQ(to.tensors.find("model.layers.0.mlp.gate.weight")->dtype, DType::F32);
  EXPECT_EQ(to.tensors.find("model.layers.0.self_attn.o_proj.weight")->dtype, DType::Q6_K);  // rows of 256
}

/// A copy of a tiny llama with a changed configuration, or with a changed weight.
struct Broken {
  TemporaryFolder folder;
  json config = json::parse(open_checkpoint(models + "llama-gqa").config_json);

  std::string error(const std::function<void(std::string& weights)>& change = {}) {
    std::ifstream file(models + "llama-gqa/model.safetensors", std::ios::binary);
    std::string weights(std::istreambuf_iterator<char>(file), {});
    if (change) change(weights);
    folder.write("model.safetensors", weights);
    folder.write("config.json", config.dump());
    return error_of([&] { convert_to_gguf({folder.path(), folder / "out.gguf", DType::Q8_0, 2, {}}); });
  }
};

TEST(Convert, RefusesWhatGgufCannotHold) {
  const auto with = [](const char* key, const json& value) {
    Broken broken;
    if (value.is_null())
      broken.config.erase(key);
    else
      broken.config[key] = value;
    return broken.error();
  };
  EXPECT_EQ(Broken().error(), "no error");
  EXPECT_THAT(with("model_type", "gemma7"), HasSubstr("cannot be written as GGUF: gemma7 known are mixtral, mistral, llama"));
  EXPECT_THAT(with("num_hidden_layers", 3), HasSubstr("lacks the tensor for: blk.2.attn_q.weight"));
  EXPECT_THAT(with("num_hidden_layers", "many"), HasSubstr("must be an integer: num_hidden_layers"));
  EXPECT_THAT(with("num_attention_heads", nullptr), HasSubstr("missing: num_attention_heads"));
  EXPECT_THAT(with("num_attention_heads", 8), HasSubstr("heads times head_dim: model.layers.0.self_attn.q_proj.weight"));
  EXPECT_THAT(with("vocab_size", 255), HasSubstr("(vocab_size, hidden_size): (256, 64) config.json has 255 64"));
  EXPECT_THAT(with("hidden_act", "gelu"), HasSubstr("gelu"));
  EXPECT_THAT(with("rope_parameters", {{"rope_type", "mrope"}, {"rope_theta", 1e4}}), HasSubstr("mrope"));
  EXPECT_THAT(with("rope_parameters", 5), HasSubstr("must be an object: rope_parameters"));
  EXPECT_THAT(with("quantization_config", {{"quant_method", "fp8"}}), HasSubstr("quantised checkpoint"));
  EXPECT_THAT(with("max_position_embeddings", 1e300), HasSubstr("must be an integer"));
}

TEST(Convert, NamesTheWeightThatIsNotFinite) {
  Broken broken;
  const std::string error = broken.error([](std::string& weights) {
    const std::string value("\x80\x7f", 2);  // infinity in BF16
    uint64_t header = 0;
    std::memcpy(&header, weights.data(), 8);
    const json entries = json::parse(weights.substr(8, header));
    const auto at = entries["model.layers.1.self_attn.k_proj.weight"]["data_offsets"][0].get<size_t>();
    weights.replace(8 + header + at + 2 * (64 * 37 + 5), 2, value);
  });
  EXPECT_THAT(error, HasSubstr("model.layers.1.self_attn.k_proj.weight row 37 column 5 value inf"));
  EXPECT_FALSE(std::filesystem::exists(broken.folder / "out.gguf"));
}

TEST(Convert, NeverWritesOverItsInput) {
  const TemporaryFolder folder;
  convert_to_gguf({models + "llama-gqa", folder / "a.gguf", DType::Q8_0, 2, {}});
  EXPECT_THAT(error_of([&] { convert_to_gguf({folder / "a.gguf", folder / "a.gguf", DType::Q4_0, 1, {}}); }), HasSubstr("same file"));
}

TEST(Convert, ReportsProgress) {
  const TemporaryFolder folder;
  std::vector<int64_t> steps;
  convert_to_gguf({models + "llama-gqa", folder / "a.gguf", DType::Q8_0, 1, [&](std::string_view, int64_t done, int64_t total) {
                     steps.push_back(done);
                     EXPECT_EQ(total, 3 + 2 * 9);
                   }});
  EXPECT_EQ(steps.size(), 21u);
  EXPECT_EQ(steps.back(), 21);
}

}  // namespace
}  // namespace infernum
