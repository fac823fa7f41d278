// Operators, attributes, filters, tests, methods and functions of the template language.
#pragma once
#include <initializer_list>
#include <optional>
#include <string_view>

#include "text/jinja_ast.h"

namespace infernum::jinja {

/// Arguments of a call bound to parameter names; too many or unknown ones are an error that names `callee`.
class Bound {
 public:
  Bound(Runtime& rt, std::string_view callee, const Arguments& arguments, std::initializer_list<std::string_view> parameters);
  bool has(size_t i) const { return parameters_[i].value != nullptr; }
  const Value& at(size_t i) const;  // an error where it is missing
  /// Also an error where the value has another type.
  Str text(size_t i) const;
  int64_t integer(size_t i) const;
  int64_t integer(size_t i, int64_t otherwise) const { return has(i) ? integer(i) : otherwise; }
  bool flag(size_t i, bool otherwise) const { return has(i) ? truthy(*parameters_[i].value) : otherwise; }
  /// Null where missing or none.
  Str text_or_none(size_t i) const;

 private:
  Runtime& rt_;
  std::string_view callee_;
  struct Parameter {
    std::string_view name;
    const Value* value = nullptr;
  };
  std::vector<Parameter> parameters_;
};

// jinja_operators.cpp
Value arithmetic(Runtime& rt, Operator op, const Value& a, const Value& b);
Value negative(Runtime& rt, const Value& v, bool negate);
Value subscript(Runtime& rt, const Value& object, const Value& key);
Value attribute(Runtime& rt, const Value& object, const Str& name);
Value slice(Runtime& rt, const Value& object, const Value& begin, const Value& end, const Value& step);
bool test_compare(Runtime& rt, Operator op, const Value& a, const Value& b);
/// "a.b.0" of a filter's attribute argument.
Value attribute_path(Runtime& rt, const Value& object, const Value& path);

// jinja_format.cpp
Text format_percent(Runtime& rt, const Text& format, const Arguments& arguments);
Text format_braces(Runtime& rt, const Text& format, const Arguments& arguments);

// jinja_filters.cpp, jinja_filters_text.cpp, jinja_filters_sequence.cpp
using Filter = Value (*)(Runtime& rt, const Value& subject, const Arguments& arguments);
Filter find_filter(std::string_view name);
Filter find_text_filter(std::string_view name);
Filter find_sequence_filter(std::string_view name);
Value apply_filter(Runtime& rt, std::string_view name, const Value& subject, const Arguments& arguments);

// jinja_tests.cpp
bool apply_test(Runtime& rt, std::string_view name, const Value& subject, const Arguments& arguments);

// jinja_methods.cpp, jinja_methods_text.cpp
bool has_method(const Runtime& rt, const Value& object, std::string_view name);
Value call_method(Runtime& rt, const Value& object, std::string_view name, const Arguments& arguments);
bool has_text_method(std::string_view name);
Value call_text_method(Runtime& rt, const Str& object, std::string_view name, const Arguments& arguments);

// jinja_functions.cpp
void for_each_function(void (*visit)(void* context, std::string_view name), void* context);
Value call_function(Runtime& rt, std::string_view name, const Arguments& arguments);

// jinja_json.cpp
struct JsonStyle {
  std::string indent;  // empty: on one line
  bool multiline = false;
  std::string item_separator = ", ", key_separator = ": ";
  bool sort_keys = false, ensure_ascii = false;
};
Text to_json(Runtime& rt, const Value& v, const JsonStyle& style);
Value from_json(Runtime& rt, const Text& text);

}  // namespace infernum::jinja
