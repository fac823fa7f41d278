// Every family against the reference implementation: logits, hidden states and greedy tokens, from both spellings of config.json,
// and controls with broken mathematics that must fail.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "support/golden_model.h"

namespace infernum {
namespace {

using test::Golden;
using test::load_golden;
using test::logits_error;
using test::read_file;
using test::relative_error;
using test::Variant;

constexpr double tolerance = 1e-4;

class Families : public testing::TestWithParam<Variant> {
 protected:
  std::string config() const { return GetParam().config(); }
  Golden golden{GetParam().path("golden.safetensors")};

  ModelOptions options_for(const std::string& prompt) const { return options_for_length(golden.shape(prompt + ".ids")[0]); }
  ModelOptions options_for_length(int64_t tokens) const { return test::options_for_length(GetParam().folder, tokens); }
};

TEST_P(Families, LogitsEqualTheReference) {
  for (const std::string prompt : {"prompt0", "prompt1", "prompt2", "prompt3"}) {
    const auto model = load_golden(GetParam().folder, config(), options_for(prompt));
    EXPECT_LE(logits_error(*model, golden, prompt), tolerance) << prompt;
  }
}

TEST_P(Families, LogitsDoNotDependOnTheChunks) {
  const auto model = load_golden(GetParam().folder, config(), options_for("prompt2"));
  const auto ids = golden.ids("prompt2.ids");
  const auto whole = test::SingleSequence(*model, 64).append(ids);
  for (int64_t chunk : {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 33}) EXPECT_EQ(test::SingleSequence(*model, 64).append(ids, chunk), whole) << chunk;
}

TEST_P(Families, HiddenStatesEqualTheReferenceLayerByLayer) {
  const auto model = load_golden(GetParam().folder, config(), options_for("prompt1"));
  const auto errors = test::hidden_errors(*model, golden, "prompt1");
  for (size_t i = 0; i < errors.size(); i++) EXPECT_LE(errors[i], tolerance) << "hidden" << i;
  EXPECT_EQ(static_cast<int64_t>(errors.size()), model->info().num_hidden_layers + 1);
}

TEST_P(Families, GreedyTokensEqualTheReferenceWhereTheMarginAllows) {
  if (GetParam().folder == "llama-dynamic") return;  // its reference re-derives old angles at every step (docs/numerics.md)
  for (const std::string n : {"1", "2", "3"}) {
    const auto prompt = golden.ids("prompt" + n + ".ids"), want = golden.ids("greedy" + n + ".ids");
    const auto total = static_cast<int64_t>(prompt.size() + want.size());
    constexpr size_t trained = 64;  // of phi3-longrope: beyond it all keys get other angles
    auto model = load_golden(GetParam().folder, config(), options_for_length(prompt.size() > trained ? total : trained));
    const auto margin = golden.floats("greedy" + n + ".margin");
    std::optional<test::SingleSequence> sequence(std::in_place, *model, total);
    auto logits = sequence->append(prompt);
    auto text = prompt;
    size_t compared = 0;
    for (size_t i = 0; i < want.size(); i++, compared++) {
      const auto row = logits.end() - static_cast<std::ptrdiff_t>(model->info().vocab_size);
      const auto best = static_cast<int32_t>(std::max_element(row, logits.end()) - row);
      float scale = 0;
      for (auto l = row; l != logits.end(); l++) scale = std::max(scale, std::abs(*l));
      if (margin[i] < 2 * tolerance * static_cast<double>(scale)) break;
      ASSERT_EQ(best, want[i]) << "greedy" << n << " token " << i;
      text.push_back(want[i]);
      if (GetParam().folder == "phi3-longrope" && text.size() == trained + 1) {
        sequence.reset();
        model = load_golden(GetParam().folder, config(), options_for_length(total));
        logits = sequence.emplace(*model, total).append(text);
      } else {
        logits = sequence->append({want[i]});
      }
    }
    EXPECT_GT(compared, 0u);
  }
}

TEST_P(Families, F16ActivationsStayClose) {
  ModelOptions options = options_for("prompt2");
  options.dtype = options.cache_dtype = DType::F16;
  EXPECT_LE(logits_error(*load_golden(GetParam().folder, config(), options), golden, "prompt2"), 2e-2);
}

TEST_P(Families, RanksGiveTheSameLogits) {
  ModelOptions options = options_for("prompt2");
  options.ranks = 2;
  const auto model = load_golden(GetParam().folder, config(), options);
  EXPECT_LE(logits_error(*model, golden, "prompt2"), tolerance);
}

TEST(Ranks, AnErrorOnOneRankReachesTheCallerAndTheModelStaysUsable) {
  const std::string folder = "qwen3", config_json = read_file(test::data("models/qwen3/config.json"));
  ModelOptions options;
  options.ranks = 2;
  const auto model = load_golden(folder, config_json, options);
  const std::vector<int32_t> ids = {1, 2, 3, 4, 5};
  const auto want = test::SingleSequence(*model, 64).append(ids);
  for (const char* where : {"hidden0", "hidden1"}) {
    model->observe(
        [&](std::string_view name, const std::vector<int64_t>&, const std::vector<float>&) { check(name != where, "observer"); });
    try {
      test::SingleSequence(*model, 64).append(ids);
      FAIL() << "nothing was thrown";
    } catch (const Error& e) {
      EXPECT_EQ(std::string(e.what()).substr(0, 8), "observer") << e.what();
    }
  }
  model->observe({});
  EXPECT_EQ(test::SingleSequence(*model, 64).append(ids), want);
  options.ranks = 0;
  EXPECT_THROW(load_golden(folder, config_json, options), Error);
}

TEST(Checkpoint, TensorsAtOddAddressesGiveTheSameLogits) {
  const std::string folder = test::data("models/qwen3"), odd = test::data("models/odd-addresses");
  std::filesystem::create_directories(odd);
  for (const char* name : {"config.json", "generation_config.json"})
    std::filesystem::copy_file(folder + "/" + name, odd + "/" + name, std::filesystem::copy_options::overwrite_existing);
  std::string file = read_file(folder + "/model.safetensors");
  uint64_t header;
  std::memcpy(&header, file.data(), 8);
  file.insert(8 + header, 1, ' ');  // the format allows blanks behind the header, so the data may start anywhere
  header++;
  std::memcpy(file.data(), &header, 8);
  std::ofstream(odd + "/model.safetensors", std::ios::binary) << file;
  const auto logits = [](const std::string& path) {
    const auto model = load_model(open_checkpoint(path), {});
    return test::SingleSequence(*model, 64).append({1, 2, 3, 4, 5});
  };
  EXPECT_EQ(logits(odd), logits(folder));
}

TEST_P(Families, FusedAndDecomposedFormsAgree) {
  for (Fusion fusion : {Fusion::Off, Fusion::Check}) {
    ModelOptions options = options_for("prompt2");
    options.fusion = fusion;
    EXPECT_LE(logits_error(*load_golden(GetParam().folder, config(), options), golden, "prompt2"), tolerance);
  }
}

TEST_P(Families, BrokenMathematicsIsSeen) {
  auto json = nlohmann::json::parse(config());
  const auto error_with = [&](const char* prompt, const nlohmann::json& changed) {
    return logits_error(*load_golden(GetParam().folder, changed.dump(), options_for(prompt)), golden, prompt);
  };
  auto eps = json;
  eps[json.contains("layer_norm_eps") ? "layer_norm_eps" : "rms_norm_eps"] = 1e-2;
  EXPECT_GT(error_with("prompt2", eps), tolerance) << "epsilon";
  auto base = json;
  auto& parameters = base.contains("rope_parameters") ? base["rope_parameters"] : base;
  for (auto* entry : {&parameters, &parameters["full_attention"], &parameters["sliding_attention"]})
    if (entry->contains("rope_theta")) (*entry)["rope_theta"] = 7777.;
  EXPECT_GT(error_with("prompt2", base), tolerance) << "rope base";
  if (json.contains("sliding_window") && json["sliding_window"].is_number()) {
    auto window = json;
    window["sliding_window"] = json["sliding_window"].get<int>() - 1;
    EXPECT_GT(error_with("prompt2", window), tolerance) << "window";
  }
}

/// A constant of one variant changed a little, as a JSON merge patch, and the prompt whose logits must then differ.
struct Change {
  std::string folder, prompt, patch;
};

const std::vector<Change>& changes() {
  static const std::vector<Change> list{
      {"granite", "prompt2", R"({"embedding_multiplier": 6.1})"},
      {"granite", "prompt2", R"({"residual_multiplier": 0.23})"},
      {"granite", "prompt2", R"({"attention_multiplier": 0.04})"},
      {"granite", "prompt2", R"({"logits_scaling": 4.01})"},
      {"hunyuan-dense", "prompt2", R"({"rope_parameters": {"rope_type": "dynamic", "alpha": 2, "factor": 1}})"},
      {"smollm3", "prompt2", R"({"no_rope_layers": [1, 1, 1, 1]})"},
      {"smollm3", "prompt2", R"({"no_rope_layers": null, "no_rope_layer_interval": 3})"},
      {"phi3-longrope", "prompt2", R"({"original_max_position_embeddings": 47})"},  // the long factors for a short prompt
      {"phi3-longrope", "prompt3", R"({"original_max_position_embeddings": 150})"},
      {"phi4-partial", "prompt2", R"({"partial_rotary_factor": 0.5})"},
      {"glm4", "prompt2", R"({"partial_rotary_factor": 0.25})"},
      {"ministral3", "prompt3", R"({"rope_parameters": {"llama_4_scaling_beta": 0.11}})"},
      {"ministral3", "prompt2", R"({"rope_parameters": {"factor": 8}})"},
      {"ministral3", "prompt2", R"({"rope_parameters": {"mscale": 0.5}})"},
      {"olmo3", "prompt2", R"({"layer_types": ["full_attention", "sliding_attention", "sliding_attention", "full_attention"]})"},
      {"cohere2", "prompt2", R"({"logit_scale": 0.0626})"},
      {"cohere2", "prompt2", R"({"layer_types": ["sliding_attention", "full_attention"]})"},
  };
  return list;
}

TEST_P(Families, EveryConstantMatters) {
  for (const Change& change : changes()) {
    if (change.folder != GetParam().folder) continue;
    auto json = nlohmann::json::parse(config());
    const auto patch = nlohmann::json::parse(change.patch);
    json.merge_patch(patch);
    EXPECT_GT(logits_error(*load_golden(change.folder, json.dump(), options_for(change.prompt)), golden, change.prompt), tolerance)
        << patch;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Families, testing::ValuesIn(test::variants()), [](const auto& variant) { return variant.param.name(); });

}  // namespace
}  // namespace infernum
