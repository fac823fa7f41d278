// config.json: what is read from either spelling, and the message for everything that is wrong with one.
#include "models/config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "models/cohere2.h"
#include "models/families.h"
#include "models/gemma3.h"
#include "models/hunyuan.h"
#include "models/loader.h"
#include "models/ministral3.h"
#include "models/mixtral.h"
#include "models/olmo3.h"
#include "models/phi3.h"
#include "models/seed_oss.h"
#include "models/smollm3.h"
#include "models/test_models.h"

namespace infernum {
namespace {

using Json = nlohmann::json;
using test::error_of;
using test::tiny_llama;

/// The message for a Llama config with one key changed; null takes the key away.
std::string message(const std::string& key, const Json& value, Json config = tiny_llama()) {
  if (value.is_null())
    config.erase(key);
  else
    config[key] = value;
  return error_of([&] { trace_model(test::checkpoint_of(config), {}, 4, true); });
}

void expect_in(const std::string& text, const std::vector<std::string>& parts) {
  for (const auto& part : parts) EXPECT_NE(text.find(part), std::string::npos) << "lacks '" << part << "': " << text;
}

TEST(ConfigReader, ReadsTypedValuesAndRemembersThem) {
  const ConfigReader c(
      R"({"i": 3, "whole": 4.0, "f": 0.5, "b": true, "s": "x", "list": ["a", "b"], "n": [1, 2.5], "o": {"inner": 1}, "null": null,
        "never": 1}
      )");
  EXPECT_EQ(c.integer("i"), 3);
  EXPECT_EQ(c.integer("whole"), 4) << "writers put a point behind whole numbers";
  EXPECT_EQ(c.number("f"), 0.5);
  EXPECT_EQ(c.number("i"), 3);
  EXPECT_EQ(c.boolean("b"), true);
  EXPECT_EQ(c.string("s"), "x");
  EXPECT_EQ(c.strings("s"), (std::vector<std::string>{"x"}));
  EXPECT_EQ(c.strings("list"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(c.numbers("n"), (std::vector<double>{1, 2.5}));
  EXPECT_EQ(c.object("o")->integer("inner"), 1);
  EXPECT_FALSE(c.integer("absent"));
  EXPECT_FALSE(c.integer("null"));
  EXPECT_FALSE(c.has("null"));
  EXPECT_TRUE(c.is_null("null"));
  EXPECT_FALSE(c.is_null("absent"));
  EXPECT_FALSE(c.object("absent"));
  EXPECT_TRUE(c.strings("absent").empty() && c.numbers("absent").empty());
  EXPECT_EQ(c.unread(), (std::vector<std::string>{"never"}));
}

TEST(ConfigReader, TheTextPartOfAMultimodalConfigComesFirst) {
  const ConfigReader c(R"({"hidden_size": 1, "architectures": ["A"], "text_config": {"hidden_size": 2, "rare": 3}})");
  EXPECT_EQ(c.size("hidden_size"), 2);
  EXPECT_EQ(c.strings("architectures"), (std::vector<std::string>{"A"})) << "the outer object fills the gaps";
  EXPECT_EQ(c.unread(), (std::vector<std::string>{"rare"}));
}

TEST(ConfigReader, WrongTypesAreNamedWithTheirValue) {
  const ConfigReader c(R"({"k": "text", "f": 1.5, "mixed": [1, "a"], "huge": 18446744073709551615, "large": 1e300, "negative": -1e300})");
  expect_in(error_of([&] { c.integer("k"); }), {"wrong type: k = \"text\" wanted an integer"});
  expect_in(error_of([&] { c.integer("f"); }), {"f = 1.5"});
  expect_in(error_of([&] { c.integer("huge"); }), {"18446744073709551615", "64-bit"});
  expect_in(error_of([&] { c.integer("large"); }), {"large = 1e+300 wanted an integer"});
  expect_in(error_of([&] { c.integer("negative"); }), {"negative = -1e+300"});
  expect_in(error_of([&] { c.number("k"); }), {"wanted a number"});
  expect_in(error_of([&] { c.boolean("f"); }), {"wanted true or false"});
  expect_in(error_of([&] { c.string("f"); }), {"wanted a string"});
  expect_in(error_of([&] { c.strings("mixed"); }), {"wanted a list of strings"});
  expect_in(error_of([&] { c.strings("f"); }), {"wanted a list of strings"});
  expect_in(error_of([&] { c.numbers("mixed"); }), {"wanted a list of numbers"});
  expect_in(error_of([&] { c.numbers("k"); }), {"wanted a list of numbers"});
  expect_in(error_of([&] { c.object("f"); }), {"wanted an object"});
  expect_in(error_of([&] { c.size("absent"); }), {"a required key is missing: absent"});
}

TEST(ConfigReader, BrokenTextIsRefused) {
  for (const char* text : {"", "{", "{\"a\":}", "nonsense", "{\"a\":1}x", "\xff", "{\"a\":\"\xff\"}", "{\"a\":1e999}"})
    expect_in(error_of([&] { ConfigReader{text}; }), {"config.json"});
  for (const char* text : {"[]", "3", "null", "\"text\""})
    expect_in(error_of([&] { ConfigReader{text}; }), {"the top level must be an object"});
  // Deep nesting must not reach recursive code.
  const std::string deep = "{\"vocab_size\":" + std::string(200000, '[') + std::string(200000, ']') + "}";
  expect_in(error_of([&] { ConfigReader{deep}; }), {"nested too deeply"});
}

TEST(Config, ReadsTheSharedKeys) {
  auto json = tiny_llama();
  json.erase("head_dim");
  const DecoderConfig c(ConfigReader{json.dump()});
  EXPECT_EQ(c.head_dim, 2) << "hidden_size / num_attention_heads";
  EXPECT_EQ(c.context, 64);
  EXPECT_EQ(c.windows, (std::vector<int>{0, 0}));
  EXPECT_FALSE(c.tie_word_embeddings);
  json.erase("num_key_value_heads");
  EXPECT_EQ(DecoderConfig(ConfigReader{json.dump()}).num_key_value_heads, 4);
  EXPECT_EQ(DecoderConfig(ConfigReader{json.dump()}, {.head_dim = 6}).head_dim, 6);
}

TEST(Config, BothSpellingsOfRopeAreOne) {
  auto four = tiny_llama(), five = tiny_llama();
  four["rope_theta"] = 5000.;
  four["rope_scaling"] = {{"type", "linear"}, {"factor", 4.}};
  five["rope_parameters"] = {{"rope_type", "linear"}, {"factor", 4.}, {"rope_theta", 5000.}};
  for (const auto& json : {four, five}) {
    const DecoderConfig c(ConfigReader{json.dump()});
    EXPECT_EQ(c.ropes[0].rope_type, "linear");
    EXPECT_EQ(c.ropes[0].rope_theta, 5000);
    EXPECT_EQ(c.ropes[0].factor, 4);
    EXPECT_EQ(c.ropes[0].rotary_dim, 4);
  }
}

TEST(Config, MissingKeysAreNamed) {
  for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"})
    expect_in(message(key, nullptr), {"a required key is missing: " + std::string(key)});
  expect_in(message("architectures", nullptr), {"`architectures` is missing"});
}

TEST(Config, SizesHaveRanges) {
  for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                          "num_key_value_heads", "head_dim", "max_position_embeddings"}) {
    for (int64_t value : {int64_t{0}, int64_t{-1}, int64_t{1} << 31})
      expect_in(message(key, value), {"must lie between 1 and 2147483647", std::string(key) + " = " + std::to_string(value)});
    expect_in(message(key, "8"), {"wrong type", key});
    expect_in(message(key, Json::array()), {"wrong type", key});
  }
  expect_in(message("num_hidden_layers", 5000), {"at most 4096 layers", "5000"});
  expect_in(message("num_hidden_layers", INT32_MAX), {"at most 4096 layers"});
  expect_in(message("num_key_value_heads", 3), {"groups of key-value heads: 4 3"});
  expect_in(message("num_key_value_heads", 8), {"groups of key-value heads: 4 8"});
  expect_in(message("head_dim", 1026), {"at most 1024", "1026"});
  expect_in(message("head_dim", INT32_MAX), {"at most 1024", "2147483647"});  // before a table of its frequencies is made
  expect_in(message("head_dim", 5), {"even number", "5"});
  for (const double eps : {0., 1., -1e-6}) expect_in(message("rms_norm_eps", eps), {"epsilon lies between 0 and 1: rms_norm_eps"});
  expect_in(message("rms_norm_eps", "small"), {"rms_norm_eps = \"small\" wanted a number"});
  expect_in(message("tie_word_embeddings", 1), {"tie_word_embeddings = 1 wanted true or false"});
  expect_in(message("architectures", Json::array({1})), {"architectures", "wanted a list of strings"});
}

TEST(Config, SizesNoMachineHoldsAreRefusedBeforeAnythingIsComputed) {
  auto json = tiny_llama();
  json["vocab_size"] = json["hidden_size"] = INT32_MAX;
  expect_in(error_of([&] { trace_model(test::checkpoint_of(json), {}, 4, true); }), {"too many elements", "2147483647"});
  json = tiny_llama();
  json["num_attention_heads"] = json["num_key_value_heads"] = INT32_MAX;
  json["head_dim"] = 1024;
  expect_in(error_of([&] { trace_model(test::checkpoint_of(json), {}, 4, true); }), {"too many elements"});
}

TEST(Config, UnknownMathematicsIsRefused) {
  expect_in(message("hidden_act", "gelu"), {"hidden_act = gelu ; implemented: silu"});
  expect_in(message("rope_parameters", {{"rope_type", "spiral"}}),
            {"unknown rope_type", "known: default, linear, dynamic, llama3, yarn, longrope, proportional: spiral"});
  expect_in(message("rope_scaling", {{"type", "spiral"}, {"factor", 2}}), {"spiral"});
  for (const char* type : {"linear", "dynamic", "llama3"})
    expect_in(message("rope_parameters", {{"rope_type", type}}), {"needs a factor", type});
  expect_in(message("rope_parameters", {{"rope_type", "default"}, {"twist", 3}}), {"unknown key among the rope parameters: twist"});
  expect_in(message("rope_parameters", {{"rope_type", "linear"}, {"factor", 0}}), {"theta and factor are positive"});
  expect_in(message("rope_theta", -1), {"rope_theta is positive: -1"});
  expect_in(message("rope_theta", "big"), {"rope_theta = \"big\" wanted a number"});
  expect_in(message("rope_parameters", {{"rope_type", "longrope"}, {"short_factor", {1}}, {"long_factor", {1}}}),
            {"one factor per rotated pair", "short_factor 1 2"});
  expect_in(message("rope_parameters", {{"rope_type", "longrope"}, {"short_factor", {1, -1}}, {"long_factor", {1, 1}}}),
            {"factors are positive"});
  for (const double partial : {0., 1.5, -0.5})
    expect_in(message("partial_rotary_factor", partial), {"partial_rotary_factor lies between 0 and 1"});
  expect_in(message("rope_parameters", "fast"), {"rope_parameters = \"fast\" wanted an object"});
}

TEST(Config, KeysThatChangeTheMathsAreRefusedUnlessTheFamilyReadThem) {
  for (const char* key : {"attn_logit_softcapping", "final_logit_softcapping", "logit_scale", "clip_qkv", "layer_types", "num_experts",
                          "num_local_experts", "quantization_config", "residual_multiplier", "use_qk_norm", "use_sliding_window"})
    expect_in(message(key, 2), {"changes the maths and this family does not implement it: llama " + std::string(key)});
  for (const char* key : {"torch_dtype", "use_cache", "bos_token_id", "some_new_key"}) EXPECT_EQ(message(key, 1), "no error") << key;
}

TEST(Config, AnUnknownArchitectureListsTheNearest) {
  const auto text = message("architectures", {"LlamaForCausalLMM"});
  expect_in(text, {"this architecture is not supported: LlamaForCausalLMM", "nearest supported: LlamaForCausalLM"});
  expect_in(message("architectures", {"Qwen9ForCausalLM"}), {"Qwen2ForCausalLM", "Qwen3ForCausalLM"});
  EXPECT_LT(message("architectures", {std::string(100000, 'x')}).size(), 1000u) << "the message stays short";
  EXPECT_EQ(message("architectures", {"Unknown", "LlamaForCausalLM"}), "no error") << "any of the names will do";
}

TEST(Config, EveryFamilyIsFoundByEachOfItsNames) {
  for (const Family* family : families())
    for (const auto name : family->architectures)
      EXPECT_EQ(&find_family(ConfigReader(Json{{"architectures", {name}}}.dump())), family) << name;
}

TEST(Config, WindowsFollowTheirFamily) {
  const auto windows = [](Json config, const char* architecture) {
    config["architectures"] = {architecture};
    const auto report = trace_model(test::checkpoint_of(config), {}, 4, true);
    std::vector<int> list;
    for (const auto& state : report.info.states) list.push_back(static_cast<int>(state.retention.tokens));
    return list;
  };
  auto json = tiny_llama();
  EXPECT_EQ(windows(json, "MistralForCausalLM"), (std::vector<int>{4096, 4096})) << "absent: 4096";
  json["sliding_window"] = nullptr;
  EXPECT_EQ(windows(json, "MistralForCausalLM"), (std::vector<int>{0, 0})) << "null: none";
  json["sliding_window"] = 7;
  EXPECT_EQ(windows(json, "MistralForCausalLM"), (std::vector<int>{7, 7}));
  EXPECT_EQ(windows(json, "Qwen2ForCausalLM"), (std::vector<int>{0, 0})) << "only with use_sliding_window";
  json["use_sliding_window"] = true;
  json["max_window_layers"] = 1;
  EXPECT_EQ(windows(json, "Qwen2ForCausalLM"), (std::vector<int>{0, 7}));
  json["layer_types"] = {"sliding_attention", "full_attention"};
  EXPECT_EQ(windows(json, "Qwen2ForCausalLM"), (std::vector<int>{7, 0}));
  json["architectures"] = {"Qwen2ForCausalLM"};
  expect_in(message("layer_types", {"full_attention"}, json), {"layer_types must name every layer: 1 2"});
  expect_in(message("layer_types", {"full_attention", "linear_attention"}, json),
            {"linear_attention", "implemented: full_attention, sliding_attention"});
  expect_in(message("sliding_window", 0, json), {"sliding_window = 0"});
}

/// The tiny Llama's config under another name.
Json named(const char* architecture, const Json& changes = Json::object()) {
  Json json = tiny_llama();
  json["architectures"] = {architecture};
  json.merge_patch(changes);
  return json;
}

template <class Config>
Config read(const Json& json) {
  return Config(ConfigReader{json.dump()});
}

TEST(Config, AbsentAndNullSizesDiffer) {
  auto json = named("SeedOssForCausalLM", {{"head_dim", nullptr}, {"num_key_value_heads", nullptr}, {"num_attention_heads", 8}});
  EXPECT_EQ(read<seed_oss::Config>(json).head_dim, 128);
  EXPECT_EQ(read<seed_oss::Config>(json).num_key_value_heads, 8);
  json["num_attention_heads"] = 4;
  json["head_dim"] = json["num_key_value_heads"] = nullptr;
  EXPECT_EQ(read<seed_oss::Config>(json).head_dim, 2) << "null: hidden_size / num_attention_heads";
  EXPECT_EQ(read<seed_oss::Config>(json).num_key_value_heads, 4) << "null: as many as query heads";
}

TEST(Config, MultimodalGemma3IsPublishedWithFewKeys) {
  const Json text = {{"hidden_size", 2560},     {"intermediate_size", 10240}, {"model_type", "gemma3_text"},
                     {"num_hidden_layers", 34}, {"sliding_window", 1024},     {"rope_scaling", {{"factor", 8.0}, {"rope_type", "linear"}}}};
  const auto c = read<gemma3::Config>({{"architectures", {"Gemma3ForConditionalGeneration"}}, {"text_config", text}});
  EXPECT_EQ(c.vocab_size, 262208);
  EXPECT_EQ(c.num_attention_heads, 8);
  EXPECT_EQ(c.num_key_value_heads, 4);
  EXPECT_EQ(c.head_dim, 256);
  EXPECT_EQ(c.max_position_embeddings, 131072);
  EXPECT_EQ(c.windows[4], 1024);
  EXPECT_EQ(c.windows[5], 0);
  EXPECT_EQ(c.ropes[0].rope_theta, 1e6);
  EXPECT_EQ(c.ropes[0].factor, 8);
  EXPECT_EQ(c.ropes[1].rope_theta, 1e4);
  EXPECT_EQ(c.ropes[1].rope_type, "default");
}

TEST(Config, MixtralHasConstantsOfItsOwn) {
  Json json = named("MixtralForCausalLM", {{"num_attention_heads", 8}});
  for (const char* key : {"num_key_value_heads", "rms_norm_eps", "rope_theta"}) json.erase(key);
  const auto c = read<mixtral::Config>(json);
  EXPECT_EQ(c.num_key_value_heads, 8);
  EXPECT_EQ(c.rms_norm_eps, 1e-5f);
  EXPECT_EQ(c.ropes[0].rope_theta, 1e6);
  EXPECT_EQ(c.windows, (std::vector<int>{0, 0}));
}

TEST(Config, Smollm3DerivesLayersWithoutPositions) {
  const auto rotated = [](const Json& changes) { return read<smollm3::Config>(named("SmolLM3ForCausalLM", changes)).layer_rope; };
  const int none = AttentionShape::no_rope;
  EXPECT_EQ(rotated({{"num_hidden_layers", 5}}), (std::vector<int>{0, 0, 0, none, 0}));
  EXPECT_EQ(rotated({{"no_rope_layer_interval", 2}}), (std::vector<int>{0, none}));
  EXPECT_EQ(rotated({{"no_rope_layers", {0, 1, 1}}}), (std::vector<int>{none, 0})) << "a longer list is legal";
  expect_in(error_of([&] { rotated({{"no_rope_layers", {0}}}); }), {"an entry for every layer: 1 2"});
  const auto json = named("SmolLM3ForCausalLM", {{"no_rope_layer_interval", 2}, {"use_sliding_window", true}, {"sliding_window", 5}});
  EXPECT_EQ(read<smollm3::Config>(json).windows, (std::vector<int>{0, 5})) << "windows where there are no positions";
}

TEST(Config, Phi3MeansLongropeAndItsOwnTrainedLength) {
  const Json factors = {{"type", "yarn"}, {"short_factor", {1, 2}}, {"long_factor", {3, 4}}};
  const auto c = read<phi3::Config>(named("Phi3ForCausalLM", {{"rope_scaling", factors}, {"max_position_embeddings", 8192}}));
  EXPECT_EQ(c.ropes[0].rope_type, "longrope");
  EXPECT_EQ(c.ropes[0].original_max_position_embeddings, 4096) << "absent: 4096";
  EXPECT_EQ(c.ropes[0].factor, 2);
  EXPECT_TRUE(c.attention(0).fused_qkv);
  expect_in(message("rope_scaling", {{"type", "linear"}, {"factor", 2}}, named("Phi3ForCausalLM")),
            {"implemented: default, longrope: linear"});
  expect_in(message("attention_bias", true, named("Phi3ForCausalLM")), {"no biases: attention_bias"});
}

TEST(Config, Cohere2RotatesOnlyInWindows) {
  const auto json = named("Cohere2ForCausalLM", {{"num_hidden_layers", 5}, {"tie_word_embeddings", nullptr}});
  const auto c = read<cohere2::Config>(json);
  const int none = AttentionShape::no_rope;
  EXPECT_EQ(c.windows, (std::vector<int>{4096, 4096, 4096, 0, 4096}));
  EXPECT_EQ(c.layer_rope, (std::vector<int>{0, 0, 0, none, 0}));
  EXPECT_FLOAT_EQ(c.rms_norm_eps, 1e-5f);
  EXPECT_TRUE(c.tie_word_embeddings);
  EXPECT_EQ(c.logit_scale, 0.0625f);
  EXPECT_EQ(read<cohere2::Config>(named("Cohere2ForCausalLM", {{"layer_norm_eps", 0.5}, {"sliding_window_pattern", 2}})).layer_rope,
            (std::vector<int>{0, none}));
  expect_in(message("use_qk_norm", true, json), {"use_qk_norm"});
  expect_in(message("use_parallel_block", false, json), {"must be true in this family: use_parallel_block"});
  expect_in(message("position_embedding_type", "rope_neox", json), {"known: rope_gptj: rope_neox"});
  expect_in(message("rotary_pct", 0.5, json), {"rotary_pct must be 1 in this family: 0.5"});
  expect_in(message("layer_norm_eps", 0, json), {"epsilon lies between 0 and 1: layer_norm_eps 0"});
}

TEST(Config, Olmo3ScalesPositionsOnlyWithoutWindows) {
  const Json yarn = {{"rope_type", "yarn"}, {"factor", 8}, {"original_max_position_embeddings", 8}};
  for (const Json& spelling : {Json{{"rope_theta", 7000}, {"rope_scaling", yarn}},
                               Json{{"rope_parameters",
                                     {{"full_attention", {{"rope_type", "yarn"}, {"factor", 8}, {"rope_theta", 7000}}},
                                      {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 7000}}}}}}}) {
    auto changes = spelling;
    changes["num_hidden_layers"] = 4;
    const auto c = read<olmo3::Config>(named("Olmo3ForCausalLM", changes));
    EXPECT_EQ(c.windows, (std::vector<int>{4096, 4096, 4096, 0}));
    EXPECT_EQ(c.layer_rope, (std::vector<int>{1, 1, 1, 0}));
    EXPECT_EQ(c.ropes[0].rope_type, "yarn") << spelling;
    EXPECT_EQ(c.ropes[1].rope_type, "default") << spelling;
    EXPECT_EQ(c.ropes[1].rope_theta, 7000) << spelling;
  }
}

TEST(Config, Ministral3ReadsItsTemperatureAmongTheRopeParameters) {
  const auto c = read<ministral3::Config>(named("Ministral3ForCausalLM"));
  EXPECT_EQ(c.ropes[0].rope_type, "yarn") << "absent parameters are the reference's";
  EXPECT_EQ(c.ropes[0].rope_theta, 1000000);
  EXPECT_EQ(c.ropes[0].original_max_position_embeddings, 16384);
  EXPECT_EQ(c.llama_4_scaling_beta, 0.1);
  const Json rope = {{"rope_type", "yarn"}, {"factor", 2}, {"llama_4_scaling_beta", 0.5}, {"max_position_embeddings", 64}};
  EXPECT_EQ(read<ministral3::Config>(named("Ministral3ForCausalLM", {{"rope_parameters", rope}})).llama_4_scaling_beta, 0.5);
  expect_in(message("rope_parameters", rope), {"unknown key among the rope parameters: llama_4_scaling_beta"});
}

TEST(Config, HunyuanGrowsItsBaseByAlpha) {
  const Json rope = {{"type", "dynamic"}, {"alpha", 1000.}, {"factor", 1.}, {"beta_fast", 32}, {"beta_slow", 1}, {"mscale", 1.}};
  const auto c = read<hunyuan::Config>(named("HunYuanDenseV1ForCausalLM", {{"rope_scaling", rope}}));
  const auto longer = rope_frequencies(c.ropes[0], 1 << 20), table = rope_frequencies(c.ropes[0], 1);
  EXPECT_EQ(table.exact, longer.exact) << "whatever the length";
  EXPECT_NEAR(table.exact[1], std::pow(10000. * std::pow(1000., 2.), -0.5), 1e-12) << "D = 4: base * alpha^(4 / 2), exponent 2 / 4";
  const auto json = named("HunYuanDenseV1ForCausalLM");
  expect_in(message("rope_scaling", {{"type", "linear"}, {"factor", 2}, {"alpha", 2}}, json), {"alpha belongs to the rope_type dynamic"});
  expect_in(message("use_qk_norm", false, json), {"use_qk_norm"});
  expect_in(message("use_cla", true, json), {"use_cla"});
}

TEST(Config, MixturesHaveBounds) {
  auto json = tiny_llama();
  json["architectures"] = {"Qwen3MoeForCausalLM"};
  json["num_experts"] = 4;
  json["num_experts_per_tok"] = 2;
  json["moe_intermediate_size"] = 6;
  EXPECT_EQ(message("use_cache", true, json), "no error");
  expect_in(message("num_experts_per_tok", 5, json), {"between one and all experts of the kept groups per token: 5"});
  expect_in(message("num_experts", INT32_MAX, json), {"experts", "2147483647"});
  expect_in(message("num_experts", 0, json), {"num_experts = 0"});
  json["architectures"] = {"MixtralForCausalLM"};
  json.erase("num_experts");
  json.erase("moe_intermediate_size");
  expect_in(message("num_local_experts", INT32_MAX, json), {"experts", "2147483647"});
}

TEST(Config, OptionsAreChecked) {
  const auto with = [](const ModelOptions& options) {
    return error_of([&] { trace_model(test::checkpoint_of(tiny_llama()), options, 4, true); });
  };
  for (int ranks : {0, -2}) {
    ModelOptions options;
    options.ranks = ranks;
    expect_in(with(options), {"at least one rank", std::to_string(ranks)});
  }
  ModelOptions options;
  options.ranks = 3;
  expect_in(with(options), {"key-value heads must divide among the ranks: 2 3"});
}

}  // namespace
}  // namespace infernum
