// Any bytes as tokenizer.json: refused with an Error, or a tokenizer that encodes and decodes without fault.
#include <cstdint>
#include <string>
#include <string_view>

#include "core/check.h"
#include "support/fuzz_json.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace {

void use(const infernum::Tokenizer& tokenizer, std::string_view text) {
  try {
    const infernum::TextSpan spans[] = {{text.substr(0, text.size() / 2), false}, {text.substr(text.size() / 2), true}};
    for (const auto& ids : {tokenizer.encode(text), tokenizer.encode(spans)}) {
      infernum::StreamDecoder stream(tokenizer, false);
      std::string streamed;
      for (const int32_t id : ids) {
        streamed += stream.push(id);
        if (tokenizer.token_text(id).empty()) __builtin_trap();  // every id that comes out of encoding is a token
        tokenizer.token_bytes(id);
      }
      streamed += stream.finish();
      if (streamed != tokenizer.decode(ids, false)) __builtin_trap();
    }
  } catch (const infernum::Error&) {}
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned random) {
  static const std::vector<std::string> seeds = infernum::testutil::tokenizer_json_seeds();
  return infernum::testutil::mutate_json(seeds, data, size, max_size, random);
}

/// The table of characters is made once, which under instrumentation takes seconds: not while an input is timed.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  infernum::text::CharTable::get();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const infernum::Tokenizer tokenizer = infernum::Tokenizer::from_json(bytes);
    use(tokenizer, " Hello, w\xC3\xB6rld! 123\n\n  \xE2\x96\x81 \xF0\x9F\xA6\x99 <s></s> \xFF don't");
    use(tokenizer, bytes.substr(0, 256));
  } catch (const infernum::Error&) {}
  return 0;
}
