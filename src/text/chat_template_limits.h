// What one chat template may consume, and how its failures are reported.
#pragma once
#include <cstddef>
#include <string>

#include "core/check.h"

namespace infernum {

struct Limits {
  size_t source_bytes = size_t{1} << 20;
  size_t output_bytes = size_t{64} << 20;
  size_t string_bytes = size_t{64} << 20;   // any one string
  size_t memory_bytes = size_t{512} << 20;  // all values alive during one rendering
  size_t steps = 50'000'000;                // nodes evaluated; work on long strings and lists counts by its length
  size_t loop_iterations = 1'000'000;       // in one rendering; also the longest range()
  int nesting = 150;                        // of expressions and blocks in the source, and of values
  int depth = 600;                          // of the interpreter's own recursion
  int macros = 64;                          // macro calls inside macro calls
};

/// Extended lets templates change lists and dicts in place and offers from_json; Reference refuses what the immutable
/// sandbox of the reference environment refuses.
enum class Dialect { Extended, Reference };

/// A template that is wrong, breaks a limit, or does not fit the conversation.
class TemplateError : public Error {
 public:
  TemplateError(int at_line, const std::string& text)
      : Error("chat template line " + std::to_string(at_line) + ": " + text), line(at_line), message(text) {}
  int line;
  std::string message;
};

/// The template itself refused the conversation by raise_exception(message): the client's mistake.
class TemplateRefusal : public TemplateError {
 public:
  using TemplateError::TemplateError;
};

}  // namespace infernum
