// Errors: check() throws with a sentence, the values involved, and the place in our code that noticed.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace infernum {

/// Wrong input or a broken rule. what() = rule, values, [file:line].
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A rule and the place that states it. clang 14 lacks std::source_location, hence the builtins.
struct Where {
  std::string_view rule;
  const char* file;
  int line;
  constexpr Where(const char* text, const char* f = __builtin_FILE(), int l = __builtin_LINE()) : rule(text), file(f), line(l) {}
};

/// How a value reads in an error. Types of our own add an overload of describe() beside themselves.
std::string describe(double value);
std::string describe(long long value);
std::string describe(unsigned long long value);
inline std::string describe(std::string_view value) { return std::string(value); }
inline std::string describe(const char* value) { return value; }
inline std::string describe(const std::string& value) { return value; }
inline std::string describe(bool value) { return value ? "true" : "false"; }
inline std::string describe(int value) { return describe(static_cast<long long>(value)); }
inline std::string describe(long value) { return describe(static_cast<long long>(value)); }
inline std::string describe(unsigned value) { return describe(static_cast<unsigned long long>(value)); }
inline std::string describe(unsigned long value) { return describe(static_cast<unsigned long long>(value)); }
inline std::string describe(float value) { return describe(static_cast<double>(value)); }

/// Throws Error: "<rule>: <value> <value> ... [file:line]".
[[noreturn]] void fail_with(Where where, const std::string& values);

template <class... A>
[[noreturn]] void fail(Where where, const A&... values) {
  std::string text;
  ((text += ' ', text += describe(values)), ...);
  fail_with(where, text);
}

template <class... A>
void check(bool ok, Where where, const A&... values) {
  if (!ok) [[unlikely]]
    fail(where, values...);
}

}  // namespace infernum
