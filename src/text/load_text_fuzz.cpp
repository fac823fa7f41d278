// Fuzz target: any GGUF metadata gives a tokenizer that encodes and decodes without fault and perhaps a chat, or an Error.
#include <nlohmann/json.hpp>

#include "checkpoint/gguf.h"
#include "checkpoint/test_files.h"
#include "core/check.h"
#include "support/fuzz_seeds.h"
#include "text/load_text.h"
#include "text/stream_decoder.h"
#include "text/unicode.h"

namespace {

using infernum::testutil::GgufBuilder;
using infernum::testutil::little_endian;

/// A vocabulary of a few tokens, with what each kind of tokenizer needs.
std::string model(const std::string& kind, const std::string& pre, const std::vector<std::string>& tokens,
                  const std::vector<std::string>& merges) {
  std::string scores = little_endian<uint32_t>(6) + little_endian<uint64_t>(tokens.size());
  std::string types = little_endian<uint32_t>(5) + little_endian<uint64_t>(tokens.size());
  for (size_t i = 0; i < tokens.size(); i++) {
    scores += little_endian(-static_cast<float>(i));
    types += little_endian<int32_t>(i == 0 ? 2 : i < 3 ? 3 : tokens[i].starts_with("<0x") ? 6 : 1);
  }
  GgufBuilder b;
  b.string("general.architecture", "llama").string("tokenizer.ggml.model", kind).string("tokenizer.ggml.pre", pre);
  b.strings("tokenizer.ggml.tokens", tokens).strings("tokenizer.ggml.merges", merges);
  b.raw("tokenizer.ggml.scores", 9, scores).raw("tokenizer.ggml.token_type", 9, types);
  b.u32("tokenizer.ggml.unknown_token_id", 0).u32("tokenizer.ggml.bos_token_id", 1).u32("tokenizer.ggml.eos_token_id", 2);
  b.raw("tokenizer.ggml.add_bos_token", 7, "\x01").raw("tokenizer.ggml.add_space_prefix", 7, "\x01");
  return b.string("tokenizer.chat_template", "{% for m in messages %}{{ m.role }}:{{ m.content }}{{ eos_token }}{% endfor %}").file();
}

std::vector<std::string> make_seeds() {
  std::vector<std::string> bytes = {"<unk>", "<s>", "</s>"}, pieces = bytes;
  for (const char* t : {"H", "e", "l", "o", "\xC4\xA0", "\xC4\xA0H", "\xC4\xA0He", "ll", "1", "2", "!", "\xC3\x83"}) bytes.push_back(t);
  for (const char* t : {"\xE2\x96\x81", "\xE2\x96\x81H", "e", "l", "ll", "o", "H", "ello", "<0x21>", "<0x0A>", "<0xC3>"})
    pieces.push_back(t);
  std::vector<std::string> seeds;
  for (const char* pre : {"llama-bpe", "gpt-2", "qwen2", "deepseek-v3", "tekken"})
    seeds.push_back(model("gpt2", pre, bytes, {"\xC4\xA0 H", "\xC4\xA0H e", "l l"}));
  for (const char* kind : {"llama", "t5", "bert", "rwkv"}) seeds.push_back(model(kind, "default", pieces, {}));
  return seeds;
}

void use(const infernum::Tokenizer& tokenizer, std::string_view text) {
  try {
    const auto ids = tokenizer.encode(text);
    infernum::StreamDecoder stream(tokenizer, false);
    std::string streamed;
    for (const int32_t id : ids) streamed += stream.push(id);
    streamed += stream.finish();
    if (streamed != tokenizer.decode(ids, false)) __builtin_trap();
  } catch (const infernum::Error&) {}
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned random) {
  static const std::vector<std::string> seeds = make_seeds();
  return infernum::testutil::mutate_from_seeds(seeds, data, size, max_size, random);
}

/// The table of characters is made once, which under instrumentation takes seconds: not while an input is timed.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  infernum::text::CharTable::get();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto messages = nlohmann::ordered_json::parse(R"([{"role": "user", "content": "Hello <s> 12!"}])");
  try {
    infernum::Checkpoint checkpoint;
    checkpoint.gguf =
        infernum::parse_gguf({reinterpret_cast<const std::byte*>(data), size}, "fuzz", nullptr, infernum::Opening::HeadersOnly).metadata;
    const infernum::Tokenizer tokenizer = infernum::load_tokenizer(checkpoint);
    use(tokenizer, " Hello, H\xC3\xB6llo! 12\n\n \xE2\x96\x81 <s></s> \xFF");
    infernum::end_of_generation_ids(checkpoint, tokenizer);
    if (infernum::Chat::available(checkpoint)) infernum::Chat(checkpoint, tokenizer).encode(messages);
  } catch (const infernum::Error&) {}
  return 0;
}
