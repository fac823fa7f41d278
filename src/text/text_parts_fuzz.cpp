// The parts that read hostile data on their own: regexes from a model folder, charsmaps, UTF-8.
#include <cstdint>
#include <string>
#include <string_view>

#include "core/check.h"
#include "text/charsmap.h"
#include "text/normalizer.h"
#include "text/regex.h"
#include "text/scanners.h"
#include "text/unicode.h"

namespace {

using namespace infernum::text;

void fuzz_regex(std::string_view bytes) {
  const size_t cut = bytes.find('\n');
  const std::string pattern = to_valid_utf8(bytes.substr(0, cut));
  const std::string text = to_valid_utf8(cut == std::string_view::npos ? bytes : bytes.substr(cut + 1));
  std::vector<Span> found;
  Regex(pattern).find_all(text, found);
  size_t last = 0;
  for (const Span& s : found) {
    if (s.begin < last || s.end <= s.begin || s.end > text.size()) __builtin_trap();
    last = s.end;
  }
}

void fuzz_scanners(std::string_view bytes) {
  const std::string text = to_valid_utf8(bytes);
  if (!is_valid_utf8(text)) __builtin_trap();
  using namespace regexes;
  for (const auto regex : {gpt2_regex, llama3_regex, qwen35_regex, o200k_regex, tekken_regex, kimi_regex, deepseek_v3_regex,
                           deepseek_cjk_regex, numbers_of3, digits_of3}) {
    const Scanner scan = known_scanner(regex);
    for (size_t at = 0; at < text.size();) {
      const size_t end = scan(CharTable::get(), text, at);
      if (end < at || end > text.size() || (end < text.size() && is_continuation(text[end]))) __builtin_trap();
      at = end > at ? end : at + utf8_bytes(text[at]);
    }
  }
}

void fuzz_charsmap(std::string_view bytes) {
  const auto map = std::make_shared<Charsmap>(bytes);
  const std::string text = to_valid_utf8(bytes.substr(0, 200)) + "abc \xC3\xA9";
  for (const NormalizerStep& step :
       {NormalizerStep(PrecompiledNormalizer{map}), NormalizerStep(SentencePieceNormalizer{map, true, true})}) {
    if (!is_valid_utf8(Normalizer({step})(text))) __builtin_trap();
  }
}

void fuzz_normal_forms(std::string_view bytes) {
  const std::string text = to_valid_utf8(bytes);
  for (const NormalForm form : {NormalForm::NFC, NormalForm::NFD, NormalForm::NFKC, NormalForm::NFKD}) {
    const Normalizer normalizer({UnicodeNormalizer{form}});
    const std::string once = normalizer(text);
    if (!is_valid_utf8(once) || normalizer(once) != once) __builtin_trap();
  }
}

}  // namespace

/// The table of characters is made once, which under instrumentation takes seconds: not while an input is timed.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  infernum::text::CharTable::get();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    switch (data[0] % 4) {
      case 0: fuzz_regex(bytes); break;
      case 1: fuzz_scanners(bytes); break;
      case 2: fuzz_charsmap(bytes); break;
      case 3: fuzz_normal_forms(bytes); break;
    }
  } catch (const infernum::Error&) {}
  return 0;
}
