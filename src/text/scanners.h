// Hand-written matchers for the pre-tokenizer regexes in use, recognised by their exact text.
#pragma once
#include <cstddef>
#include <string_view>

#include "text/unicode.h"

namespace infernum::text {

/// End of the regex's match that starts exactly at `at` in valid UTF-8, or `at` when there is none.
using Scanner = size_t (*)(const CharTable& table, std::string_view text, size_t at);

/// The matcher of a known regex, or null.
Scanner known_scanner(std::string_view regex);

/// Regexes of the families, as their tokenizer.json files spell them.
namespace regexes {
extern const std::string_view gpt2_regex, llama3_regex, qwen2_regex, qwen35_regex, o200k_regex, tekken_regex, kimi_regex, deepseek_v3_regex,
    deepseek_cjk_regex;
extern const std::string_view one_number, number_run, numbers_of3, digits_of3;
}  // namespace regexes

}  // namespace infernum::text
