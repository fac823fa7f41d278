// The text models of multimodal checkpoints: dispatched by their text_config, weights under either prefix, the other parts named once.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "checkpoint/test_files.h"
#include "checkpoint/text_file.h"
#include "support/golden.h"
#include "support/run_model.h"

namespace infernum {
namespace {

using Json = nlohmann::json;
using test::Golden;

/// How a published wrapper looks around a text model of tests/data.
struct Wrapper {
  const char *variant, *architecture, *model_type, *text_model_type;
  const char *model_prefix, *head_prefix;  ///< what stands for "model." and "lm_head."
  const char* vision;                      ///< a tensor of another part
  const char* family;
};

constexpr Wrapper wrappers[] = {{"mistral-swa", "Mistral3ForConditionalGeneration", "mistral3", "mistral", "language_model.model.",
                                 "language_model.lm_head.", "vision_tower.patch_conv.weight", "mistral"},
                                {"ministral3", "Mistral3ForConditionalGeneration", "mistral3", "ministral3", "model.language_model.",
                                 "lm_head.", "model.vision_tower.patch_conv.weight", "ministral3"},
                                {"llama-gqa", "LlavaForConditionalGeneration", "llava", "llama", "language_model.model.",
                                 "language_model.lm_head.", "multi_modal_projector.linear_1.weight", "llama"},
                                {"gemma3-text", "Gemma3ForConditionalGeneration", "gemma3", "gemma3_text", "language_model.model.",
                                 "language_model.lm_head.", "vision_tower.vision_model.post_layernorm.weight", "gemma3"},
                                {"gemma4-text", "Gemma4ForConditionalGeneration", "gemma4", "gemma4_text", "model.language_model.",
                                 "lm_head.", "model.embed_vision.embedding_projection.weight", "gemma4"},
                                {"llama4-text", "Llama4ForConditionalGeneration", "llama4", "llama4_text", "language_model.model.",
                                 "language_model.lm_head.", "vision_model.class_embedding", "llama4_text"},
                                {"qwen2-tied", "Qwen2_5_VLForConditionalGeneration", "qwen2_5_vl", "qwen2_5_vl_text", "model.", "lm_head.",
                                 "visual.patch_embed.proj.weight", "qwen2_vl"},
                                {"qwen3", "Qwen3VLForConditionalGeneration", "qwen3_vl", "qwen3_vl_text", "model.language_model.",
                                 "lm_head.", "model.visual.patch_embed.proj.weight", "qwen3_vl"},
                                {"qwen3", "InternVLForConditionalGeneration", "internvl", "qwen3", "language_model.model.",
                                 "language_model.lm_head.", "multi_modal_projector.linear_1.weight", "qwen3"},
                                {"qwen3_5-text", "Qwen3_5ForConditionalGeneration", "qwen3_5", "qwen3_5_text", "model.language_model.",
                                 "lm_head.", "model.visual.patch_embed.proj.weight", "qwen3_5"}};

std::string folder_of(const Wrapper& w) { return test::data(std::string("models/") + w.variant); }

/// The weights of the text model under the wrapper's names, and one tensor of another part.
std::string renamed_weights(const Wrapper& w) {
  std::ifstream in(folder_of(w) + "/model.safetensors", std::ios::binary);
  const std::string file((std::istreambuf_iterator<char>(in)), {});
  uint64_t size = 0;
  std::memcpy(&size, file.data(), 8);
  const Json header = Json::parse(file.substr(8, size));
  Json renamed = Json::object();
  for (const auto& [name, entry] : header.items()) {
    std::string to = name;
    if (name.starts_with("model.")) to = w.model_prefix + name.substr(6);
    if (name.starts_with("lm_head.")) to = w.head_prefix + name.substr(8);
    renamed[to] = entry;
  }
  const size_t data = file.size() - 8 - size;
  renamed[w.vision] = {{"dtype", "F32"}, {"shape", {1}}, {"data_offsets", {data, data + 4}}};
  const std::string text = renamed.dump();
  return testutil::little_endian<uint64_t>(text.size()) + text + file.substr(8 + size) + std::string(4, '\0');
}

Json wrapped_config(const Wrapper& w) {
  Json inner = Json::parse(read_text_file(folder_of(w) + "/config.json"));
  Json outer = {{"architectures", {w.architecture}}, {"model_type", w.model_type}, {"vision_config", {{"hidden_size", 3}}}};
  for (const char* key : {"architectures", "tie_word_embeddings"}) {
    if (std::string_view(key) != "architectures") outer[key] = inner[key];  // some files have it only here
    inner.erase(key);
  }
  inner["model_type"] = w.text_model_type;
  outer["text_config"] = inner;
  return outer;
}

class Wrappers : public testing::TestWithParam<Wrapper> {};

TEST_P(Wrappers, RunAsTheirTextModel) {
  const Wrapper& w = GetParam();
  const testutil::TemporaryFolder folder;
  folder.write("config.json", wrapped_config(w).dump());
  folder.write("model.safetensors", renamed_weights(w));
  ModelOptions options;
  options.threads = 2;
  options.bf16_frequencies = true;  // as the recordings were made
  testing::internal::CaptureStderr();
  const auto model = load_model(open_checkpoint(folder.path()), options);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(model->info().family, w.family);
  const std::string part = std::string(w.vision).substr(0, std::string_view(w.vision).find('.', 6));
  EXPECT_NE(log.find("not read, since only the text model runs: " + part + " (1 tensor)"), std::string::npos) << log;
  EXPECT_EQ(log.find("not read"), log.rfind("not read")) << "once";

  const Golden golden(folder_of(w) + "/golden.safetensors");
  const auto ids = golden.ids("prompt2.ids");
  const auto want = golden.floats("prompt2.logits");
  auto got = test::SingleSequence(*model, static_cast<int64_t>(ids.size())).append(ids);
  got.erase(got.begin(), got.end() - static_cast<std::ptrdiff_t>(want.size()));
  EXPECT_LE(test::relative_error(got, want), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(All, Wrappers, testing::ValuesIn(wrappers), [](const auto& p) {
  std::string name = std::string(p.param.architecture) + "_" + p.param.text_model_type;
  return name;
});

std::string error_of(const Json& config) {
  const testutil::TemporaryFolder folder;
  folder.write("config.json", config.dump());
  try {
    trace_model(open_checkpoint(folder.path(), Opening::HeadersOnly), {}, 1, true);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Wrapper, OfAnUnknownTextModelIsRefusedByName) {
  Json config = wrapped_config(wrappers[0]);
  EXPECT_EQ(error_of(config), "no error");
  config["text_config"]["model_type"] = "mamba";
  const std::string text = error_of(config);
  EXPECT_NE(text.find("not supported: Mistral3ForConditionalGeneration around a text model of type mamba"), std::string::npos) << text;
  config["text_config"]["architectures"] = {"MistralForCausalLM"};
  EXPECT_EQ(error_of(config), "no error") << "named by its architecture";
}

TEST(Wrapper, WithoutAWrapperTheTypeSaysNothing) {
  Json config = Json::parse(read_text_file(folder_of(wrappers[2]) + "/config.json"));
  config["architectures"] = {"LlamaForSequenceClassification"};
  EXPECT_NE(error_of(config).find("not supported: LlamaForSequenceClassification"), std::string::npos);
}

TEST(Wrapper, QuantisationOfTheOuterConfigIsRefused) {
  Json config = wrapped_config(wrappers[0]);
  config["quantization_config"] = {{"quant_method", "fp8"}};
  EXPECT_NE(error_of(config).find("does not implement it: mistral quantization_config"), std::string::npos) << error_of(config);
}

}  // namespace
}  // namespace infernum
