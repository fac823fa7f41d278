// Tokenizers in GGUF form: the twelve styles of tests/data/tokenizers.tar.xz, and hostile ones.
#include "checkpoint/convert_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "checkpoint/gguf.h"
#include "checkpoint/gguf_writer.h"
#include "checkpoint/test_files.h"
#include "checkpoint/text_file.h"

namespace infernum {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testutil::error_of;
using testutil::TemporaryFolder;

std::string tokenizer_file(const std::string& style) {
  return read_text_file(INFERNUM_BINARY_DIR "/data/tok/" + style + "/tokenizer.json");
}

/// The metadata that write_tokenizer() makes.
std::shared_ptr<const GgufMetadata> written(const Checkpoint& checkpoint, int64_t vocab_size) {
  const TemporaryFolder folder;
  GgufWriter writer(folder / "a.gguf");
  write_tokenizer(checkpoint, vocab_size, writer);
  writer.finish();
  return open_gguf(folder / "a.gguf").metadata;
}

Checkpoint with(const std::string& tokenizer, const std::string& config = "{}") {
  Checkpoint checkpoint;
  checkpoint.path = "here";
  checkpoint.config_json = "{}";
  checkpoint.tokenizer_json = tokenizer;
  checkpoint.tokenizer_config_json = config;
  return checkpoint;
}

TEST(ConvertTokenizer, NamesTheSplittingRules) {
  const std::map<std::string, std::string> names = {{"gpt2", "gpt-2"},          {"llama3", "llama-bpe"},    {"qwen2", "qwen2"},
                                                    {"o200k", "gpt-4o"},        {"starcoder", "starcoder"}, {"falcon", "falcon"},
                                                    {"deepseek", "deepseek-v3"}};
  for (const auto& [style, name] : names) {
    json tokenizer = json::parse(tokenizer_file(style));
    EXPECT_EQ(pre_tokenizer_name(tokenizer), name);
    const auto metadata = written(with(tokenizer.dump()), 4096);
    EXPECT_EQ(metadata->find_string("tokenizer.ggml.model"), "gpt2") << style;
    EXPECT_EQ(metadata->find_string("tokenizer.ggml.pre"), name);
    EXPECT_EQ(metadata->array_size("tokenizer.ggml.merges"), static_cast<int64_t>(tokenizer["model"]["merges"].size()));
    EXPECT_FALSE(metadata->contains("tokenizer.ggml.scores"));
    tokenizer["pre_tokenizer"] = {{"type", "Split"}, {"behavior", "Isolated"}, {"pattern", {{"Regex", "own"}}}};
    EXPECT_EQ(pre_tokenizer_name(tokenizer), "");
    EXPECT_EQ(written(with(tokenizer.dump()), 4096)->find_string("tokenizer.ggml.pre"), "default");
    EXPECT_EQ(written(with(tokenizer.dump()), 4096)->find_string("tokenizer.huggingface.json"), tokenizer.dump());
  }
  json llama3 = json::parse(tokenizer_file("llama3"));
  llama3["model"]["ignore_merges"] = false;
  EXPECT_EQ(pre_tokenizer_name(llama3), "dbrx");
}

TEST(ConvertTokenizer, KeepsTokensTypesAndRoles) {
  const auto metadata =
      written(with(tokenizer_file("qwen2"), R"({"eos_token": "<|im_end|>", "pad_token": {"content": "<|endoftext|>"}})"), 2060);
  const auto tokens = *metadata->find_strings("tokenizer.ggml.tokens");
  const auto types = *metadata->find_ints("tokenizer.ggml.token_type");
  ASSERT_EQ(tokens.size(), 2060u);
  ASSERT_EQ(types.size(), 2060u);
  const auto file = json::parse(tokenizer_file("qwen2"));
  for (const auto& [token, id] : file["model"]["vocab"].items()) EXPECT_EQ(tokens[id.get<size_t>()], token);
  EXPECT_EQ(tokens[2], "<|im_end|>");
  EXPECT_EQ(types[2], 3);  // special
  EXPECT_EQ(tokens[2048], "<tool_call>");
  EXPECT_EQ(types[2048], 4);  // added, not special
  EXPECT_EQ(types[100], 1);
  EXPECT_EQ(tokens[2059], "[PAD2059]");
  EXPECT_EQ(types[2059], 5);
  EXPECT_EQ(metadata->find_int("tokenizer.ggml.eos_token_id"), 2);
  EXPECT_EQ(metadata->find_int("tokenizer.ggml.padding_token_id"), 0);
  EXPECT_FALSE(metadata->contains("tokenizer.ggml.bos_token_id"));
  EXPECT_EQ(metadata->find_bool("tokenizer.ggml.add_bos_token"), false);
}

TEST(ConvertTokenizer, ScoresOrderPairsAsMergesDo) {
  const std::map<std::string, bool> space_prefix = {{"llama2-spm", true}, {"mistral-metaspace", true}, {"gemma-spm", false}};
  for (const auto& [style, prefix] : space_prefix) {
    const json tokenizer = json::parse(tokenizer_file(style));
    const auto metadata = written(with(tokenizer.dump(), R"({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})"), 2048);
    EXPECT_EQ(metadata->find_string("tokenizer.ggml.model"), "llama") << style;
    EXPECT_EQ(metadata->find_bool("tokenizer.ggml.add_space_prefix"), prefix) << style;
    const auto scores = *metadata->find_floats("tokenizer.ggml.scores");
    const auto types = *metadata->find_ints("tokenizer.ggml.token_type");
    const auto& vocab = tokenizer["model"]["vocab"];
    EXPECT_EQ(types[vocab["<unk>"].get<size_t>()], 2);
    EXPECT_EQ(types[vocab["<0x41>"].get<size_t>()], 6);
    EXPECT_EQ(types[vocab["▁"].get<size_t>()], 1);
    float last = 1;
    size_t seen = 0;
    std::map<std::string, bool> done;
    for (const json& merge : tokenizer["model"]["merges"]) {
      const std::string joined = merge[0].get<std::string>() + merge[1].get<std::string>();
      if (!vocab.contains(joined) || done[joined]) continue;
      done[joined] = true;
      const float score = scores[vocab[joined].get<size_t>()];
      EXPECT_LT(score, last) << joined;
      last = score;
      ++seen;
    }
    EXPECT_GT(seen, 1000u);
    EXPECT_LE(scores[vocab["e"].get<size_t>()], last);
  }
}

TEST(ConvertTokenizer, ReadsWhatThePostProcessorAdds) {
  const auto llama2 = written(with(tokenizer_file("llama2-spm"), R"({"bos_token": "<s>", "eos_token": "</s>"})"), 2048);
  EXPECT_EQ(llama2->find_bool("tokenizer.ggml.add_bos_token"), true);
  EXPECT_EQ(llama2->find_bool("tokenizer.ggml.add_eos_token"), false);
  const auto llama3 = written(with(tokenizer_file("llama3"), R"({"bos_token": "<|begin_of_text|>"})"), 2048);
  EXPECT_EQ(llama3->find_bool("tokenizer.ggml.add_bos_token"), true);
  const auto told = written(with(tokenizer_file("llama3"), R"({"bos_token": "<|begin_of_text|>", "add_bos_token": false})"), 2048);
  EXPECT_EQ(told->find_bool("tokenizer.ggml.add_bos_token"), false);
}

TEST(ConvertTokenizer, KeepsEndTokensAndTemplates) {
  Checkpoint checkpoint = with(tokenizer_file("llama3"), R"({"eos_token": "<|eot_id|>", "chat_template": [
      {"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]})");
  checkpoint.eos_token_ids = {1, 2, 5};
  checkpoint.chat_template = "D";
  checkpoint.config_json = R"({"bos_token_id": 0})";
  const auto metadata = written(checkpoint, 2048);
  EXPECT_EQ(metadata->find_int("tokenizer.ggml.eos_token_id"), 2);
  EXPECT_EQ(metadata->find_int("tokenizer.ggml.eot_token_id"), 1);
  EXPECT_EQ(metadata->find_int("tokenizer.ggml.eom_token_id"), 5);
  EXPECT_EQ(metadata->find_int("tokenizer.ggml.bos_token_id"), 0);
  EXPECT_EQ(metadata->find_string("tokenizer.chat_template"), "D");
  EXPECT_EQ(metadata->find_string("tokenizer.chat_template.tool_use"), "T");
  EXPECT_THAT(*metadata->find_strings("tokenizer.chat_templates"), ElementsAre("tool_use"));
}

TEST(ConvertTokenizer, OtherKindsAreKeptWhole) {
  for (const char* style : {"unigram", "wordpiece"}) {
    const auto metadata = written(with(tokenizer_file(style)), 2048);
    EXPECT_EQ(metadata->find_string("tokenizer.ggml.model"), "no_vocab");
    EXPECT_EQ(metadata->find_string("tokenizer.huggingface.json"), tokenizer_file(style));
  }
  EXPECT_EQ(written(with(""), 2048)->find_string("tokenizer.ggml.model"), "no_vocab");
}

TEST(ConvertTokenizer, RefusesBrokenFiles) {
  const auto error = [](const std::string& text) { return error_of([&] { written(with(text), 16); }); };
  EXPECT_THAT(error("{"), HasSubstr("not a JSON object: tokenizer.json"));
  EXPECT_THAT(error("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(error(R"({"model": {"type": "BPE"}})"), HasSubstr("model.vocab must be an object"));
  EXPECT_THAT(error(R"({"model": {"type": "BPE", "vocab": {"a": 16}}})"), HasSubstr("beyond vocab_size: \"a\" 16 vocab_size 16"));
  EXPECT_THAT(error(R"({"model": {"type": "BPE", "vocab": {"a": -1}}})"), HasSubstr("number from 0 on"));
  EXPECT_THAT(error(R"({"model": {"type": "BPE", "vocab": {"a": "b"}}})"), HasSubstr("number from 0 on"));
  EXPECT_THAT(error(R"({"model": {"type": "BPE", "vocab": {}, "merges": [["a"]]}})"), HasSubstr("a pair of strings"));
  EXPECT_THAT(error(R"({"added_tokens": [7], "model": {"type": "BPE", "vocab": {}}})"), HasSubstr("number from 0 on"));
  EXPECT_EQ(
      error(R"({"pre_tokenizer": 5, "post_processor": "x", "normalizer": [], "model": {"type": "BPE", "vocab": {}, "merges": [""]}})"),
      "no error");
  EXPECT_EQ(error(R"({"model": {"type": "BPE", "byte_fallback": true, "vocab": {"a": 0}, "merges": ["", "a", "a a"]}})"), "no error");
  std::string deep = R"({"model": {"type": "BPE", "vocab": {}, "byte_fallback": true}, "normalizer": )";
  for (int i = 0; i < 100000; ++i) deep += R"({"normalizers": [)";
  for (int i = 0; i < 100000; ++i) deep += "]}";
  EXPECT_THAT(error(deep + "}"), HasSubstr("nested too deeply: tokenizer.json"));
}

}  // namespace
}  // namespace infernum
