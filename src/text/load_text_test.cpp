// The text side of a checkpoint: which ids end a generation, and where a plain text begins with BOS.
#include "text/load_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/gguf.h"
#include "checkpoint/test_files.h"

namespace infernum {
namespace {

using testing::ElementsAre;
using testutil::GgufBuilder;

constexpr const char* tokenizer_json = R"({"added_tokens": [{"id": 3, "content": "<bos>", "special": true},
    {"id": 4, "content": "<eos>", "special": true}], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
    "decoder": {"type": "Fuse"}, "model": {"type": "BPE", "unk_token": "?", "vocab": {"?": 0, "a": 1, "b": 2}, "merges": []}})";
constexpr const char* bos_and_eos = R"({"bos_token": "<bos>", "eos_token": "<eos>"})";

Checkpoint folder(const std::string& config, const std::string& generation_config = "", const std::string& tokenizer_config = bos_and_eos) {
  const testutil::TemporaryFolder f;
  f.write("config.json", config);
  if (!generation_config.empty()) f.write("generation_config.json", generation_config);
  f.write("tokenizer.json", tokenizer_json);
  f.write("tokenizer_config.json", tokenizer_config);
  return open_checkpoint(f.path(), Opening::HeadersOnly);
}

TEST(EndOfGeneration, IsTheUnionOfEveryPlace) {
  const Checkpoint c = folder(R"({"model_type":"x","eos_token_id":9,"text_config":{"eos_token_id":[1,9]}})", R"({"eos_token_id":[7,106]})");
  EXPECT_THAT(end_of_generation_ids(c, load_tokenizer(c)), ElementsAre(1, 4, 7, 9, 106));
  const Checkpoint none = folder(R"({"model_type":"x"})", "", R"({"bos_token": "<bos>"})");
  EXPECT_THAT(end_of_generation_ids(none, load_tokenizer(none)), testing::IsEmpty());
}

TEST(EndOfGeneration, OfGgufMetadata) {
  GgufBuilder b;
  b.string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", "gpt-2");
  b.strings("tokenizer.ggml.tokens", {"a", "b", "ab", "<end>", "<turn>", "<message>"}).strings("tokenizer.ggml.merges", {"a b"});
  b.u32("tokenizer.ggml.eos_token_id", 3).u32("tokenizer.ggml.eot_token_id", 4).u32("tokenizer.ggml.eom_token_id", 5);
  const std::string file = b.file();
  Checkpoint c;
  c.gguf = parse_gguf({reinterpret_cast<const std::byte*>(file.data()), file.size()}, "x.gguf", nullptr, Opening::HeadersOnly).metadata;
  EXPECT_THAT(end_of_generation_ids(c, load_tokenizer(c)), ElementsAre(3, 4, 5));
}

TEST(LoadTokenizer, SomeFilesAreKnownByNameToStripBehindAddedTokens) {
  const auto ids = [](const char* name) {
    GgufBuilder b;
    b.string("general.name", name).string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", "gpt-2");
    b.strings("tokenizer.ggml.tokens", {"a", "\u0120", "<|user|>", "<s>"}).strings("tokenizer.ggml.merges", {});
    std::string types = testutil::little_endian<uint32_t>(5) + testutil::little_endian<uint64_t>(4);
    for (int32_t type : {1, 1, 3, 3}) types += testutil::little_endian(type);
    b.raw("tokenizer.ggml.token_type", 9, types);
    const std::string file = b.file();
    Checkpoint c;
    c.gguf = parse_gguf({reinterpret_cast<const std::byte*>(file.data()), file.size()}, "x.gguf", nullptr, Opening::HeadersOnly).metadata;
    return load_tokenizer(c).encode("<|user|> a<s> a");
  };
  EXPECT_THAT(ids("Phi-3 mini"), ElementsAre(2, 0, 3, 1, 0));
  EXPECT_THAT(ids("microsoft_phi3.5"), ElementsAre(2, 0, 3, 1, 0));
  EXPECT_THAT(ids("Phi 4"), ElementsAre(2, 1, 0, 3, 1, 0));
}

TEST(EncodePlain, AGemmaBeginsWithBos) {
  const Checkpoint gemma = folder(R"({"model_type":"gemma4","text_config":{"model_type":"gemma4_text"}})");
  const Tokenizer tokenizer = load_tokenizer(gemma);
  EXPECT_THAT(encode_plain(gemma, tokenizer, "ab"), ElementsAre(3, 1, 2));
  EXPECT_THAT(encode_plain(gemma, tokenizer, "<bos>ab"), ElementsAre(3, 1, 2)) << "written out, it is not doubled";
  EXPECT_THAT(encode_plain(gemma, tokenizer, ""), ElementsAre(3));
  const Checkpoint other = folder(R"({"model_type":"qwen3"})"), nameless = folder(R"({"model_type":7})");
  EXPECT_THAT(encode_plain(other, tokenizer, "ab"), ElementsAre(1, 2));
  EXPECT_THAT(encode_plain(nameless, tokenizer, "ab"), ElementsAre(1, 2));
}

}  // namespace
}  // namespace infernum
