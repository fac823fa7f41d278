#include "core/check.h"

#include <charconv>
#include <cstring>

namespace infernum {

std::string describe(double value) {
  char text[32];
  auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return std::string(text, end);
}
std::string describe(long long value) { return std::to_string(value); }
std::string describe(unsigned long long value) { return std::to_string(value); }

void fail_with(Where where, const std::string& values) {
  const char* slash = std::strrchr(where.file, '/');
  std::string text(where.rule);
  if (!values.empty()) text += ':' + values;
  text += " [" + std::string(slash ? slash + 1 : where.file) + ':' + std::to_string(where.line) + ']';
  throw Error(text);
}

}  // namespace infernum
