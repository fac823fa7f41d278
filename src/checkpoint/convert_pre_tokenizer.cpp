// Names for the splitting rules of byte-level tokenizers, recognised by their regular expressions.
#include <nlohmann/json.hpp>
#include <optional>

#include "checkpoint/convert_tokenizer.h"

namespace infernum {
namespace {

using nlohmann::json;
using Steps = std::vector<std::string>;

// The expressions as tokenizer.json files spell them. Steps without one: "digit", "digits", "punctuation".
constexpr const char* gpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* llama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* qwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* qwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* o200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* tekken = R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
                               R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
                               R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* deepseek_words =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* deepseek_words_escaped =
    R"([!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct Rules {
  const char* name;
  Steps steps;
};

std::optional<std::string> step_of(const json& part) {
  const std::string type = part.value("type", "");
  if (type == "Digits") return part.value("individual_digits", false) ? "digit" : "digits";
  if (type == "Punctuation") return "punctuation";
  if (type == "ByteLevel") return part.value("use_regex", true) ? gpt2 : "";
  if (type != "Split" || part.value("behavior", "") != "Isolated" || part.value("invert", false)) return std::nullopt;
  const auto pattern = part.find("pattern");
  if (pattern == part.end() || !pattern->is_object() || !pattern->contains("Regex") || !(*pattern)["Regex"].is_string())
    return std::nullopt;
  return (*pattern)["Regex"].get<std::string>();
}

}  // namespace

std::string pre_tokenizer_name(const json& tokenizer) try {
  const std::vector<Rules> known = {
      {"gpt-2", {gpt2}},
      {"starcoder", {"digit", gpt2}},
      {"falcon", {"punctuation", gpt2, "digits", "[0-9][0-9][0-9]"}},
      {"dbrx", {llama3}},
      {"qwen2", {qwen2}},
      {"qwen35", {qwen35}},
      {"gpt-4o", {o200k}},
      {"tekken", {tekken}},
      {"deepseek-v3", {R"(\p{N}{1,3})", "[一-龥぀-ゟ゠-ヿ]+", deepseek_words}},
      {"deepseek-v3", {R"(\p{N}{1,3})", "[一-龥぀-ゟ゠-ヿ]+", deepseek_words_escaped}},
      {"deepseek-coder", {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", "[一-龥ࠀ-一가-퟿]+", R"(\p{N})"}}};
  const json& pre = tokenizer.at("pre_tokenizer");
  const json parts = pre.value("type", "") == "Sequence" ? pre.at("pretokenizers") : json::array({pre});
  Steps steps;
  for (const json& part : parts) {
    const auto step = step_of(part);
    if (!step) return "";
    if (!step->empty()) steps.push_back(*step);
  }
  for (const Rules& rules : known) {
    if (rules.steps != steps) continue;
    // The rules of Llama 3 have two names: with and without the short cut for words that are tokens.
    const bool whole_words = tokenizer.at("model").value("ignore_merges", false);
    return steps[0] == llama3 && whole_words ? "llama-bpe" : rules.name;
  }
  return "";
} catch (const json::exception&) {
  return "";  // parts of another type than expected: no rules known here
}

}  // namespace infernum
