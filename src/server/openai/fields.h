// The fields of each endpoint's request: one table says name, type, range, what it does and where it goes. The decoder, the generated
// boundary tests and the support tables of docs/api.md all read these tables.
#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "server/openai/asked.h"
#include "server/openai/json_body.h"

namespace infernum::server::openai {

struct DecodeLimits {
  int32_t vocab_size = 0;  ///< ids lie below
  size_t stops = 16, stop_bytes = 256;
  size_t messages = 4096, content_parts = 1024, tool_calls = 128;
  size_t prompts = 256, prompt_tokens = size_t{1} << 22;
  size_t logit_bias = 4096, bad_words = 1024;
  int64_t top_logprobs = 20, n = 16;
  bool strict_fields = false, request_templates = false;
};

/// Used: has its effect. NoEffect: taken, changes nothing. Refused: 400 unsupported_parameter, unless its value asks for nothing.
enum class Effect { Used, NoEffect, Refused };

struct Field;
/// A field that is more than a number, a flag or a text. Throws ApiError.
using Reader = void (*)(const Json& value, const Field& field, const DecodeLimits& limits, Asked& asked);
using Target = std::variant<std::monostate, std::optional<bool> Asked::*, std::optional<int64_t> Asked::*, std::optional<double> Asked::*,
                            std::optional<std::string> Asked::*, Reader>;

inline constexpr double no_bound = std::numeric_limits<double>::infinity();

struct Field {
  std::string_view name;
  std::string_view type;  ///< "integer", "number", "boolean", "string", or in words for what a Reader takes
  Effect effect = Effect::Used;
  Target target;
  double min = -no_bound, max = no_bound;  ///< of numbers; both belong to the range. Without them an integer is one of 64 bits
  bool above_min = false;                  ///< min itself is out, and whatever becomes min in 32 bits
  std::string_view about;                  ///< for the table in docs/api.md
};

std::span<const Field> chat_fields();
std::span<const Field> completion_fields();
std::span<const Field> tokenize_fields();
std::span<const Field> detokenize_fields();

/// The range of a field in words: "-2 to 2"; "" if there is none.
std::string range_text(const Field& field);

/// Reads `root` by the table. Throws ApiError with the dotted path of the field.
Asked read_fields(const Json& root, std::span<const Field> fields, const DecodeLimits& limits);
Asked read_body(JsonParser& parser, std::string_view body, std::span<const Field> fields, const DecodeLimits& limits);

}  // namespace infernum::server::openai
