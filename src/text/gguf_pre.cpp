// The pre-tokenizer names that conversion scripts write into GGUF files.
#include "text/gguf_pre.h"

#include <algorithm>
#include <initializer_list>

#include "core/check.h"
#include "core/log.h"
#include "text/scanners.h"

namespace infernum::text {
namespace {

using namespace regexes;

constexpr std::string_view one_newline = "[\\r\\n]";
// What deepseek-llm and deepseek-coder take as CJK: Hangul, and everything from U+0800 to the last common ideograph.
constexpr std::string_view deep_seek_wide = R"([\x{4e00}-\x{9fa5}\x{800}-\x{4e00}\x{ac00}-\x{d7ff}]+)";
// deepseek-llm's list of cased letters (Latin, Greek, Cyrillic, Armenian, Georgian capitals, Cherokee, ...).
constexpr std::string_view deep_seek_llm_letters =
    R"(\s?[A-Za-z\x{b5}\x{c0}-\x{d6}\x{d8}-\x{f6}\x{f8}-\x{1ba}\x{1bc}-\x{1bf}\x{1c4}-\x{293}\x{295}-\x{2af}\x{370}-\x{373}\x{376}\x{377}\x{37b}-\x{37d})"
    R"(\x{37f}\x{386}\x{388}-\x{38a}\x{38c}\x{38e}-\x{3a1}\x{3a3}-\x{3f5}\x{3f7}-\x{481}\x{48a}-\x{52f}\x{531}-\x{556}\x{10a0}-\x{10c5}\x{13a0}-\x{13f5})"
    R"(\x{13f8}-\x{13fd}\x{1c90}-\x{1cba}\x{1cbd}-\x{1cbf}\x{1d00}-\x{1d2b}\x{1d6b}-\x{1d77}\x{1d79}-\x{1d9a}\x{1e00}-\x{1f15}\x{1f18}-\x{1f1d})"
    R"(\x{1f20}-\x{1f45}\x{1f48}-\x{1f4d}\x{1f50}-\x{1f57}\x{1f59}\x{1f5b}\x{1f5d}\x{1f5f}-\x{1f7d}\x{1f80}-\x{1fb4}\x{1fb6}-\x{1fbc}\x{1fbe})"
    R"(\x{1fc2}-\x{1fc4}\x{1fc6}-\x{1fcc}\x{1fd0}-\x{1fd3}\x{1fd6}-\x{1fdb}\x{1fe0}-\x{1fec}\x{1ff2}-\x{1ff4}\x{1ff6}-\x{1ffc}\x{2102}\x{2107})"
    R"(\x{210a}-\x{2113}\x{2115}\x{2119}-\x{211d}\x{2124}\x{2126}\x{2128}\x{212a}-\x{212d}\x{212f}-\x{2134}\x{2139}\x{213c}-\x{213f}\x{2145}-\x{2149})"
    R"(\x{214e}\x{2183}\x{2184}\x{2c00}-\x{2c7b}\x{2c7e}-\x{2ce4}\x{2ceb}-\x{2cee}\x{2cf2}\x{2cf3}\x{a640}-\x{a66d}\x{a680}-\x{a69b}\x{a722}-\x{a76f})"
    R"(\x{a771}-\x{a787}\x{a78b}-\x{a78e}\x{ab70}-\x{abbf}\x{fb00}-\x{fb06}\x{fb13}-\x{fb17}\x{ff21}-\x{ff3a}\x{ff41}-\x{ff5a}\x{10400}-\x{1044f})"
    R"(\x{104b0}-\x{104d3}\x{104d8}-\x{104fb}\x{10c80}-\x{10cb2}\x{10cc0}-\x{10cf2}\x{118a0}-\x{118df}\x{1e900}-\x{1e943}]+)";
constexpr std::string_view deep_seek_llm_marks = R"(\s?[!-/:-~\x{ff01}-\x{ff0f}\x{ff1a}-\x{ff5e}\x{2018}-\x{201f}\x{3000}-\x{3002}]+)";
constexpr std::string_view bloom_regex = R"( ?[^(\s|.,!?…。，、।۔،)]+)";
constexpr std::string_view falcon_marks = R"([\p{P}\$\+<=>\^~\|`]+)";
constexpr std::string_view default_marks = R"([\p{P}\$\+<=>\^~\|]+)";
constexpr std::string_view bailing =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view seed_coder =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";

bool one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

GgufPre gguf_pre(std::string_view name) {
  const auto is = [name](std::initializer_list<std::string_view> names) { return one_of(name, names); };
  if (is({"", "default"})) {
    if (name.empty())
      log_warning("GGUF tokenizer: tokenizer.ggml.pre is missing, the default is used; ids may differ from the model's own");
    return {{default_marks, gpt2_regex, number_run, digits_of3}};
  }
  if (is({"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"})) return {{llama3_regex}, true, true};
  if (is({"dbrx", "smaug-bpe", "glm4", "chatglm-bpe"})) return {{llama3_regex}};
  if (is({"qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan", "grok-2"})) return {{qwen2_regex}};
  if (is({"qwen35"})) return {{qwen35_regex}};
  if (is({"deepseek-v3", "hunyuan-dense"})) return {{numbers_of3, deepseek_cjk_regex, deepseek_v3_regex}};
  if (is({"deepseek-llm"})) return {{one_newline, deep_seek_llm_letters, deep_seek_llm_marks, "\\s+$", deep_seek_wide, number_run}};
  if (is({"deepseek-coder"})) return {{one_newline, "\\s?\\p{L}+", "\\s?\\p{P}+", deep_seek_wide, one_number}};
  if (is({"gpt-2", "phi-2", "jina-es", "jina-de", "jina-v1-en", "jina-v2-es", "jina-v2-de", "jina-v2-code", "roberta-bpe", "mpt", "olmo",
          "jais", "modern-bert", "gigachat", "exaone4", "trillion", "mellum", "granite-docling"}))
    return {{gpt2_regex}};
  if (is({"starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b"})) return {{one_number, gpt2_regex}};
  if (is({"gpt-4o", "llama4", "kanana2", "minimax-m2"})) return {{o200k_regex}};
  if (is({"tekken"})) return {{tekken_regex}, true, true};
  if (is({"falcon"})) return {{falcon_marks, gpt2_regex, digits_of3}};
  if (is({"kimi-k2"})) return {{kimi_regex}};
  if (is({"bloom", "poro-chat", "gpt3-finnish"})) return {{bloom_regex}};
  if (is({"viking"})) return {{bloom_regex, one_number}};
  if (is({"bailingmoe", "bailingmoe2", "llada-moe"})) return {{bailing}};
  if (is({"seed-coder"})) return {{seed_coder}};
  fail("GGUF tokenizer: unknown tokenizer.ggml.pre", name);
}

}  // namespace infernum::text
