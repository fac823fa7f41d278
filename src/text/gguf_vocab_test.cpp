// Vocabularies in GGUF form: real ones against llama.cpp's ids where the public files are at hand, small ones of our own always.
#include "text/gguf_vocab.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "checkpoint/gguf_family.h"
#include "core/check.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"

namespace infernum {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

/// Just enough of GGUF v3 to fill a GgufVocab from a trusted file.
class MetadataReader {
 public:
  explicit MetadataReader(std::string bytes) : bytes_(std::move(bytes)) {}

  GgufVocab read() {
    at_ = 16;
    const auto count = take<uint64_t>();
    for (uint64_t i = 0; i < count; ++i) {
      const std::string key = string();
      value(key, take<uint32_t>());
    }
    return std::move(vocab_);
  }

 private:
  template <class T>
  T take() {
    T v;
    std::memcpy(&v, bytes_.data() + at_, sizeof v);
    at_ += sizeof v;
    return v;
  }
  std::string string() {
    const auto size = take<uint64_t>();
    std::string s = bytes_.substr(at_, size);
    at_ += size;
    return s;
  }
  void value(const std::string& key, uint32_t type) {
    if (type == 8) {
      const std::string text = string();
      if (key == "general.name") vocab_.strip_right = added_tokens_strip_right(text);
      if (key == "tokenizer.ggml.model") vocab_.model = text;
      if (key == "tokenizer.ggml.pre") vocab_.pre = text;
    } else if (type == 9) {
      const auto element = take<uint32_t>();
      const auto count = take<uint64_t>();
      for (uint64_t i = 0; i < count; ++i) array_item(key, element);
    } else {
      scalar(key, type);
    }
  }
  void array_item(const std::string& key, uint32_t type) {
    if (type == 8) {
      std::string text = string();
      if (key == "tokenizer.ggml.tokens") vocab_.tokens.push_back(std::move(text));
      if (key == "tokenizer.ggml.merges") vocab_.merges.push_back(std::move(text));
    } else if (type == 6 && key == "tokenizer.ggml.scores") {
      vocab_.scores.push_back(take<float>());
    } else if (type == 5 && key == "tokenizer.ggml.token_type") {
      vocab_.token_type.push_back(take<int32_t>());
    } else {
      at_ += width(type);
    }
  }
  void scalar(const std::string& key, uint32_t type) {
    if (type == 4) {
      const auto id = static_cast<int32_t>(take<uint32_t>());
      if (key == "tokenizer.ggml.bos_token_id") vocab_.bos_token_id = id;
      if (key == "tokenizer.ggml.eos_token_id") vocab_.eos_token_id = id;
      if (key == "tokenizer.ggml.unknown_token_id") vocab_.unknown_token_id = id;
      if (key == "tokenizer.ggml.padding_token_id") vocab_.padding_token_id = id;
    } else if (type == 7) {
      const bool flag = take<uint8_t>() != 0;
      if (key == "tokenizer.ggml.add_bos_token") vocab_.add_bos_token = flag;
      if (key == "tokenizer.ggml.add_eos_token") vocab_.add_eos_token = flag;
      if (key == "tokenizer.ggml.add_space_prefix") vocab_.add_space_prefix = flag;
    } else {
      at_ += width(type);
    }
  }
  static size_t width(uint32_t type) { return type == 0 || type == 1 || type == 7 ? 1 : type == 2 || type == 3 ? 2 : type <= 6 ? 4 : 8; }

  std::string bytes_;
  size_t at_ = 0;
  GgufVocab vocab_;
};

fs::path conformance_dir() {
  if (const char* dir = std::getenv("INFERNUM_CONFORMANCE_DIR")) return dir;
  for (const char* dir : {"../shared/goldens", "../../shared/goldens"})
    if (fs::exists(fs::path(dir) / "gguf-vocab.tar.xz")) return dir;
  return {};
}

/// The cases of an .inp file: separated by a marker line.
std::vector<std::string> read_cases(const fs::path& path) {
  const std::string text = read_file(path), marker = "\n__ggml_vocab_test__\n";
  std::vector<std::string> cases;
  size_t at = 0;
  for (size_t end = text.find(marker); end != std::string::npos; at = end + marker.size(), end = text.find(marker, at))
    cases.push_back(text.substr(at, end - at));
  return cases;
}

TEST(GgufVocabConformance, RealVocabulariesGiveTheIdsOfLlamaCpp) {
  const fs::path archive = conformance_dir() / "gguf-vocab.tar.xz";
  if (!fs::exists(archive)) {
    std::cout << "not run: no gguf-vocab.tar.xz in ../shared/goldens or INFERNUM_CONFORMANCE_DIR\n";
    return;
  }
  const fs::path dir = fs::path(testing::TempDir()) / ("gguf_vocab_test_" + std::to_string(std::rand()) +
                                                       std::to_string(::testing::UnitTest::GetInstance()->random_seed()));
  fs::create_directories(dir);
  ASSERT_EQ(std::system(("tar xJf '" + archive.string() + "' -C '" + dir.string() + "'").c_str()), 0);
  size_t cases = 0;
  for (const auto& entry : fs::recursive_directory_iterator(dir)) {
    if (entry.path().extension() != ".gguf") continue;
    SCOPED_TRACE(entry.path().filename().string());
    const Tokenizer tokenizer = Tokenizer::from_gguf(MetadataReader(read_file(entry.path())).read());
    std::ifstream answers(entry.path().string() + ".out");
    for (const std::string& text : read_cases(entry.path().string() + ".inp")) {
      std::string line;
      ASSERT_TRUE(std::getline(answers, line));
      std::istringstream numbers(line);
      const std::vector<int32_t> ids{std::istream_iterator<int32_t>(numbers), {}};
      const auto found = tokenizer.encode(text, {.add_special = false, .parse_special = false});
      EXPECT_EQ(found, ids) << text;
      ++cases;
    }
  }
  EXPECT_GE(cases, 4u * 46u);
  fs::remove_all(dir);
}

GgufVocab small_llama() {
  GgufVocab v;
  v.model = "llama";
  v.tokens = {"<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "▁ab", "<user>"};
  v.scores = {0, 0, 0, -10, -11, -12, -2, -1, 0};
  v.token_type = {2, 3, 3, 1, 1, 1, 1, 1, 4};
  for (int i = 0; i < 256; ++i) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", i);
    v.tokens.push_back(text);
    v.scores.push_back(0);
    v.token_type.push_back(6);
  }
  return v;
}

TEST(GgufVocab, LlamaJoinsByScoreAndFallsBackToBytes) {
  const Tokenizer t = Tokenizer::from_gguf(small_llama());
  EXPECT_EQ(t.encode("ab a"), (std::vector<int32_t>{1, 7, 3, 4}));
  EXPECT_EQ(t.encode("é", {.add_special = false}), (std::vector<int32_t>{3, 9 + 0xC3, 9 + 0xA9}));
  EXPECT_EQ(t.encode("</s>ab"), (std::vector<int32_t>{1, 2, 7}));
  EXPECT_EQ(t.encode("", {.add_special = false}), std::vector<int32_t>{});
  // A user-defined token is matched always, a control token only when asked for.
  const auto hidden = t.encode("</s><user>", {.add_special = false, .parse_special = false});
  EXPECT_EQ(std::count(hidden.begin(), hidden.end(), 2), 0);
  EXPECT_EQ(hidden.back(), 8);
  EXPECT_EQ(t.decode(t.encode("ab é")), "ab é");
  EXPECT_EQ(t.decode(t.encode("ab é"), false), "<s> ab é");
  EXPECT_EQ(t.token_bytes(9 + 0xC3), "\xC3");
  EXPECT_EQ(t.token_bytes(7), " ab");
  EXPECT_EQ(t.bos_id(), 1);
  EXPECT_EQ(t.eos_id(), 2);
  EXPECT_EQ(t.end_of_generation_ids(), std::vector<int32_t>{2});
}

TEST(GgufVocab, BertMarksWordStarts) {
  GgufVocab v;
  v.model = "bert";
  v.tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁he", "llo", "▁!", "▁中"};
  v.token_type = {3, 2, 3, 3, 1, 1, 1, 1};
  v.unknown_token_id = 1;
  v.cls_token_id = 2;
  v.seperator_token_id = 3;
  const Tokenizer t = Tokenizer::from_gguf(v);
  EXPECT_EQ(t.encode("Héllo!中 zzz"), (std::vector<int32_t>{2, 4, 5, 6, 7, 1, 3}));
  EXPECT_EQ(t.decode(std::vector<int32_t>{2, 4, 5, 6, 3}), "hello !");
}

TEST(GgufVocab, T5CollapsesSpacesAndTakesTheBestPath) {
  GgufVocab v;
  v.model = "t5";
  v.tokens = {"<pad>", "</s>", "<unk>", "▁", "a", "b", "▁ab", "ab"};
  v.scores = {0, 0, 0, -3, -4, -4, -2, -5};
  v.token_type = {3, 3, 2, 1, 1, 1, 1, 1};
  const Tokenizer t = Tokenizer::from_gguf(v);
  EXPECT_EQ(t.encode("  ab   ab "), (std::vector<int32_t>{6, 6, 1}));
  EXPECT_EQ(t.encode("abzz"), (std::vector<int32_t>{6, 2, 1}));
  EXPECT_EQ(t.decode(t.encode("ab ab")), "ab ab");
}

TEST(GgufVocab, Gemma4MergesRawTextAndKeepsSpaces) {
  GgufVocab v;
  v.model = "gemma4";
  v.tokens = {"<pad>", "<eos>", "<bos>", "<unk>", "▁", "a", "b", "ab", "▁ab", "\n", "\n\n", "<0xC3>", "<0xA9>"};
  v.token_type = {3, 3, 3, 2, 1, 1, 1, 1, 1, 1, 1, 6, 6};
  v.merges = {"a b", "▁ ab", "\n \n"};
  v.bos_token_id = 2;
  v.eos_token_id = 1;
  v.unknown_token_id = 3;
  const Tokenizer t = Tokenizer::from_gguf(v);
  EXPECT_EQ(t.encode("ab ab\n\n\né"), (std::vector<int32_t>{2, 7, 8, 10, 9, 11, 12}));
  EXPECT_EQ(t.decode(t.encode("ab ab\n\n\né")), "ab ab\n\n\né");
}

TEST(GgufVocab, WrongMetadataIsRefusedByName) {
  const auto message = [](const GgufVocab& v) {
    try {
      Tokenizer::from_gguf(v);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  GgufVocab v = small_llama();
  v.model = "plamo2";
  EXPECT_NE(message(v).find("plamo2"), std::string::npos);
  v = small_llama();
  v.scores.pop_back();
  EXPECT_NE(message(v).find("scores"), std::string::npos);
  v = small_llama();
  v.eos_token_id = 100000;
  EXPECT_NE(message(v).find("eos_token_id"), std::string::npos);
  v = small_llama();
  v.token_type[3] = 77;
  EXPECT_NE(message(v).find("token_type"), std::string::npos);
  v.model = "gpt2";
  v.token_type[3] = 1;
  v.pre = "no-such-pre";
  EXPECT_NE(message(v).find("no-such-pre"), std::string::npos);
  v.pre = "gpt-2";
  v.merges = {"ab"};
  EXPECT_NE(message(v).find("merge"), std::string::npos);
  v.merges = {"a zz"};
  EXPECT_NE(message(v).find("outside of the vocabulary"), std::string::npos);
}

TEST(GgufVocab, EveryPreNameBuilds) {
  GgufVocab v;
  v.model = "gpt2";
  v.tokens = {"<|endoftext|>", "a", "b", "ab", "1"};
  v.token_type = {3, 1, 1, 1, 1};
  v.merges = {"a b"};
  v.bos_token_id = v.eos_token_id = 0;
  for (const char* pre : {"default", "llama-bpe", "dbrx", "qwen2", "qwen35", "deepseek-v3", "deepseek-llm", "deepseek-coder", "gpt-2",
                          "starcoder", "gpt-4o", "tekken", "falcon", "kimi-k2", "bloom", "viking", "bailingmoe", "seed-coder"}) {
    SCOPED_TRACE(pre);
    v.pre = pre;
    const Tokenizer t = Tokenizer::from_gguf(v);
    EXPECT_EQ(t.encode("ab1ab", {.add_special = false}), (std::vector<int32_t>{3, 4, 3}));
  }
}

}  // namespace
}  // namespace infernum
