// The tokenizer as its callers see it: spans, side files, streaming, wrong files and hostile texts.
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <thread>

#include "core/check.h"
#include "text/stream_decoder.h"

namespace infernum {
namespace {

using Ids = std::vector<int32_t>;
using nlohmann::json;

std::string golden_tokenizer(const std::string& style) {
  std::ifstream in(INFERNUM_BINARY_DIR "/data/tok/" + style + "/tokenizer.json", std::ios::binary);
  EXPECT_TRUE(in) << style;
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

const char* const style_names[] = {"llama3", "qwen2",      "o200k",     "deepseek",          "gpt2",    "starcoder",
                                   "falcon", "llama2-spm", "gemma-spm", "mistral-metaspace", "unigram", "wordpiece"};

/// A small byte-pair tokenizer without pre-tokenizer; tests change it.
json small_bpe() {
  return json::parse(R"({"added_tokens": [{"id": 5, "content": "<s>", "special": true}, {"id": 6, "content": "<t>", "special": false}],
    "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
    "model": {"type": "BPE", "unk_token": "?", "vocab": {"?": 0, "a": 1, "b": 2, "ab": 3, "abb": 4}, "merges": ["a b", "ab b"]}})");
}

Tokenizer build(const json& j, const json& config = nullptr) {
  return Tokenizer::from_json(j.dump(), config.is_null() ? "" : config.dump());
}

std::string refusal(const std::string& text, const std::string& config = "") {
  try {
    Tokenizer::from_json(text, config);
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

TEST(Tokenizer, SpansAreOneTextExceptForSpecialTokens) {
  const Tokenizer t = build(small_bpe());
  const auto encode = [&](std::vector<TextSpan> spans) { return t.encode(std::span<const TextSpan>(spans)); };
  EXPECT_EQ(encode({{"a", true}, {"b", false}, {"b", true}}), (Ids{4}));
  EXPECT_EQ(encode({{"<s>", true}, {"ab", false}}), (Ids{5, 3}));
  EXPECT_EQ(encode({{"<s>", false}}), (Ids{0, 0, 0}));
  EXPECT_EQ(encode({{"<", true}, {"s", false}, {">", true}}), (Ids{0, 0, 0}));
  EXPECT_EQ(encode({{"<s", true}, {">", true}}), (Ids{5}));
  EXPECT_EQ(encode({{"<t>", false}}), (Ids{6}));  // an added token, but not a special one
  EXPECT_EQ(encode({}), Ids{});
}

TEST(Tokenizer, TrustIsKeptThroughNormalization) {
  json j = small_bpe();
  j["added_tokens"][0]["normalized"] = true;
  j["normalizer"] =
      json::parse(R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}, {"type": "Prepend", "prepend": "a"}]})");
  const Tokenizer t = build(j);
  const TextSpan both[] = {{"<S>", true}, {"B<s>é", false}, {"<S>", true}};
  const Ids ids = t.encode(std::span<const TextSpan>(both));
  // The content is normalized like the text ("a<s>"), so only the first one, with the prepended a before it, is the token.
  EXPECT_EQ(ids.front(), 5);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 5), 1);
  const TextSpan hostile[] = {{"<S>", false}};
  const Ids none = t.encode(std::span<const TextSpan>(hostile));
  EXPECT_EQ(std::count(none.begin(), none.end(), 5), 0);
}

TEST(Tokenizer, ModelsDoNotMakeSpecialTokensOutOfText) {
  const std::string unigram = golden_tokenizer("unigram");
  const Tokenizer t = Tokenizer::from_json(unigram);
  const int32_t eos = t.token_id("</s>").value();
  const Ids ids = t.encode("x</s>y", {.add_special = false, .parse_special = false});
  EXPECT_EQ(std::count(ids.begin(), ids.end(), eos), 0);
  const Ids parsed = t.encode("x</s>y", {.add_special = false});
  EXPECT_EQ(std::count(parsed.begin(), parsed.end(), eos), 1);
}

TEST(Tokenizer, IllFormedTextReadsAsReplacementCharacters) {
  const Tokenizer t = Tokenizer::from_json(golden_tokenizer("llama3"));
  EXPECT_EQ(t.encode("a\xFF\xE6\xBCz"), t.encode("a\xEF\xBF\xBD\xEF\xBF\xBDz"));
  // A character cut by the border of two spans is whole again.
  const TextSpan cut[] = {{"\xE6\xBC", true}, {"\xA2", false}};
  EXPECT_EQ(t.encode(std::span<const TextSpan>(cut)), t.encode("\xE6\xBC\xA2"));
}

TEST(Tokenizer, ConfigGivesTokensAndFlags) {
  json config =
      json::parse(R"({"bos_token": {"content": "<s>"}, "eos_token": "</s>", "pad_token": null, "tokenizer_class": "LlamaTokenizer",
    "add_bos_token": true, "add_eos_token": true, "added_tokens_decoder": {"7": {"content": "</s>", "special": true},
      "5": {"content": "<s>"}}})");
  const Tokenizer t = build(small_bpe(), config);
  EXPECT_EQ(t.bos_id(), 5);
  EXPECT_EQ(t.eos_id(), 7);
  EXPECT_EQ(t.pad_id(), std::nullopt);
  EXPECT_EQ(t.unk_id(), 0);
  EXPECT_EQ(t.vocab_size(), 8);
  EXPECT_TRUE(t.is_special(7));
  EXPECT_TRUE(t.is_special(5));  // tokenizer.json wins
  EXPECT_EQ(t.encode("ab</s>"), (Ids{5, 3, 7, 7}));
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  EXPECT_EQ(build(small_bpe(), config).encode("ab"), (Ids{3}));
}

TEST(Tokenizer, BpeVariants) {
  json j = small_bpe();
  EXPECT_EQ(build(j).encode("axxb"), (Ids{1, 0, 0, 2}));
  j["model"]["fuse_unk"] = true;
  EXPECT_EQ(build(j).encode("axxb"), (Ids{1, 0, 2}));
  j["model"]["unk_token"] = nullptr;
  EXPECT_EQ(build(j).encode("axxb"), (Ids{3}));  // dropped
  j["model"]["vocab"]["bb"] = 8;
  j["model"]["ignore_merges"] = true;
  EXPECT_EQ(build(j).encode("bb"), (Ids{8}));
  j["model"]["ignore_merges"] = false;
  EXPECT_EQ(build(j).encode("bb"), (Ids{2, 2}));
  const json affixed = json::parse(R"({"model": {"type": "BPE", "continuing_subword_prefix": "##", "end_of_word_suffix": "</w>",
    "vocab": {"a": 0, "##b</w>": 1, "ab</w>": 2, "##b": 3, "ab": 4}, "merges": ["a ##b</w>", ["a", "##b"]]},
    "pre_tokenizer": {"type": "WhitespaceSplit"},
    "decoder": {"type": "BPEDecoder", "suffix": "</w>"}})");
  const Tokenizer t = build(affixed);
  EXPECT_EQ(t.encode("ab abb"), (Ids{2, 4, 1}));
  EXPECT_EQ(t.decode(Ids{2, 2}), "ab ab");
}

TEST(Tokenizer, WordLevelAndJoin) {
  const json j =
      json::parse(R"({"model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "hi": 1, "you": 2}}, "pre_tokenizer": {"type": "Whitespace"}})");
  const Tokenizer t = build(j);
  EXPECT_EQ(t.encode("hi there you"), (Ids{1, 0, 2}));
  EXPECT_EQ(t.decode(Ids{1, 2, 99, -4}), "hi you");
}

TEST(Tokenizer, WrongFilesAreRefusedWithAReason) {
  const auto with = [](const char* pointer, json value) {
    json j = small_bpe();
    j[json::json_pointer(pointer)] = std::move(value);
    return j.dump();
  };
  EXPECT_EQ(refusal(small_bpe().dump()), "accepted");
  const std::pair<std::string, const char*> rows[] = {
      {"", "not valid JSON"},
      {"[]", "an object at tokenizer.json"},
      {"{}", "model"},
      {with("/model/type", "Magic"), "Magic"},
      {with("/model/type", 3), "a string at tokenizer.json.model.type"},
      {with("/normalizer", {{"type", "Reverse"}}), "Reverse"},
      {with("/pre_tokenizer", {{"type", "UnicodeScripts"}}), "UnicodeScripts"},
      {with("/decoder", {{"type", "CTC"}}), "CTC"},
      {with("/post_processor", {{"type", "Post"}}), "Post"},
      {with("/pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", "("}}}, {"behavior", "Isolated"}}), "regex"},
      {with("/pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", "a"}}}, {"behavior", "Sideways"}}), "Sideways"},
      {with("/pre_tokenizer", {{"type", "FixedLength"}, {"length", -1}}), "not a count"},
      {with("/model/vocab/zz", 99999999), "out of range"},
      {with("/model/vocab/zz", -1), "out of range"},
      {with("/model/vocab/zz", 3), "same id"},
      {with("/model/vocab/zz", "3"), "not an integer"},
      {with("/model/merges/0", "a z"), "outside of the vocabulary"},
      {[] {
         json j = small_bpe();
         j["added_tokens"][1]["id"] = 9;  // 6, 7 and 8 are no tokens
         j["post_processor"] = {{"type", "BertProcessing"}, {"cls", {"<s>", 5}}, {"sep", {"<s>", 7}}};
         return j.dump();
       }(),
       "no token has this id: 7"},
      {with("/model/merges/0", "a b c"), "one space"},
      {with("/model/merges/0", json::array({"a"})), "two strings"},
      {with("/model/merges/0", 5), "two strings"},
      {with("/model/unk_token", "nope"), "unk_token"},
      {with("/added_tokens/0/id", 3), "same id"},
      {with("/added_tokens/0/id", 1 << 23), "out of range"},
      {with("/added_tokens/0/content", ""), "empty added token"},
      {with("/added_tokens/0/content", "ab"), "another id"},
      {with("/normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", "/////w=="}}), "precompiled_charsmap"},
      {with("/normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", "*"}}), "base64"},
      {with("/post_processor",
            json::parse(
                R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}], "special_tokens": {"<s>": {"ids": [5]}}})")),
       "once"},
      {with("/post_processor",
            json::parse(R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
        "special_tokens": {"<s>": {"ids": [77]}}})")),
       "outside of the vocabulary"},
      {R"({"model": {"type": "Unigram", "vocab": [["a", 0], ["b"]]}})", "expected [piece, score]"},
      {R"({"model": {"type": "Unigram", "unk_id": 4, "vocab": [["a", 0]]}})", "unk_id"},
      {R"({"model": {"type": "WordPiece", "vocab": {"a": 0}}})", "unk_token"},
      {R"({"model": {"type": "BPE", "vocab": {"\ud800": 0}, "merges": []}})", "not valid JSON"},
  };
  for (const auto& [text, reason] : rows) EXPECT_NE(refusal(text).find(reason), std::string::npos) << text << "\n-> " << refusal(text);
  std::string deep = "{\"type\":\"NFC\"}";
  for (int i = 0; i < 60; ++i) deep = R"({"type":"Sequence","normalizers":[)" + deep + "]}";
  json j = small_bpe();
  j["normalizer"] = json::parse(deep);
  EXPECT_NE(refusal(j.dump()).find("nested deeper"), std::string::npos);
  EXPECT_NE(refusal(std::string(100000, '[')).find("not valid JSON"), std::string::npos);
  EXPECT_NE(refusal(small_bpe().dump(), "{\"added_tokens_decoder\": {\"x\": {\"content\": \"y\"}}}").find("not a token id"),
            std::string::npos);
}

TEST(Tokenizer, TruncatedFilesAreRefused) {
  const std::string whole = golden_tokenizer("llama2-spm");
  for (size_t cut = 1; cut < 40; ++cut) {
    const std::string text = whole.substr(0, (whole.size() - 2) * cut / 40);
    EXPECT_NE(refusal(text), "accepted") << text.size();
  }
}

TEST(StreamDecoder, HoldsBackUnfinishedCharactersOnly) {
  const Tokenizer t = Tokenizer::from_json(golden_tokenizer("llama3"));
  // Single bytes of an emoji, then one that can go on no longer.
  std::vector<int32_t> bytes;
  for (const char* c : {"ð", "Ł", "¦", "Ļ", "ð", "a"}) bytes.push_back(t.token_id(c).value());
  StreamDecoder stream(t, true);
  std::vector<std::string> parts;
  for (const int32_t id : bytes) parts.push_back(stream.push(id));
  parts.push_back(stream.finish());
  EXPECT_EQ(parts, (std::vector<std::string>{"", "", "", "\xF0\x9F\xA6\x99", "",
                                             "\xEF\xBF\xBD"
                                             "a",
                                             ""}));
  StreamDecoder cut(t, true);
  EXPECT_EQ(cut.push(bytes[0]), "");
  EXPECT_EQ(cut.finish(), "\xEF\xBF\xBD");
}

TEST(StreamDecoder, ThePromptTakesTheLeadingSpace) {
  const Tokenizer t = Tokenizer::from_json(golden_tokenizer("llama2-spm"));
  const Ids prompt = t.encode("once upon", {.add_special = false}), more = t.encode("a time", {.add_special = false});
  const auto stream_of = [&](std::span<const int32_t> before) {
    StreamDecoder stream(t, true, before);
    std::string text;
    for (const int32_t id : more) text += stream.push(id);
    return text + stream.finish();
  };
  EXPECT_EQ(stream_of({}), "a time");
  EXPECT_EQ(stream_of(prompt), " a time");
}

TEST(StreamDecoder, RandomIdsGiveTheSameTextStreamedOrWhole) {
  std::mt19937 random(5);
  for (const char* style : style_names) {
    const Tokenizer t = Tokenizer::from_json(golden_tokenizer(style));
    for (int round = 0; round < 200; ++round) {
      Ids ids;
      // Low ids hold the bytes: pick them often.
      for (size_t n = random() % 12; n > 0; --n)
        ids.push_back(static_cast<int32_t>(random() % (round % 2 ? 300u : static_cast<unsigned>(t.vocab_size()))));
      StreamDecoder stream(t, false);
      std::string text;
      for (const int32_t id : ids) text += stream.push(id);
      text += stream.finish();
      ASSERT_EQ(text, t.decode(ids, false)) << style;
    }
  }
}

TEST(TokenizerTime, HostileTextsTakeLinearTime) {
  constexpr size_t text_bytes = 200'000;
  const auto repeat = [](std::string_view part) {
    std::string text;
    while (text.size() < text_bytes) text += part;
    return text;
  };
  // 200 model_b; anything quadratic takes minutes. The bound leaves room for sanitizers and loaded machines.
  const std::string texts[] = {repeat("a"), repeat(" "), repeat("ab"),        repeat("a "), repeat("\n"),
                               repeat("'"), repeat("<"), repeat("é\xCC\x81"), repeat("漢"), repeat("1")};
  for (const char* style : style_names) {
    const Tokenizer t = Tokenizer::from_json(golden_tokenizer(style));
    const auto start = std::chrono::steady_clock::now();
    for (const std::string& text : texts)
      EXPECT_FALSE(t.encode(text, {.parse_special = true}).empty() && std::string(style) != "wordpiece");
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    EXPECT_LT(seconds.count(), 20) << style;
  }
}

TEST(Tokenizer, ThreadsShareOneTokenizer) {
  const Tokenizer t = Tokenizer::from_json(golden_tokenizer("gpt2"));
  const std::string text = "The quick brown fox, the quickest of them all, jumps over lazy dogs. ";
  const Ids expected = Tokenizer::from_json(golden_tokenizer("gpt2")).encode(text);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (size_t i = 0; i < wrong.size(); ++i)
    threads.emplace_back([&, i] {
      for (int round = 0; round < 50; ++round) wrong[i] += t.encode(text) != expected;
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

}  // namespace
}  // namespace infernum
