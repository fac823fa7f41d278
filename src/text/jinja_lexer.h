// Tokens of a chat template, with the white space rules (trim_blocks, lstrip_blocks, `-` and `+` marks) already applied.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace infernum::jinja {

enum class TokenKind { Text, BlockBegin, BlockEnd, VariableBegin, VariableEnd, Name, String, Integer, Float, Operator, End };

struct Token {
  TokenKind kind;
  std::string text;  // decoded for strings, without underscores for numbers
  int line;
};

/// Throws TemplateError.
std::vector<Token> tokenize(std::string_view source);

}  // namespace infernum::jinja
