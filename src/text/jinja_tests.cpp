// The tests of the template language: `x is NAME`.
#include "text/jinja_library.h"

namespace infernum::jinja {
namespace {

using Test = bool (*)(Runtime&, const Value&);
using TestWith = bool (*)(Runtime&, const Value&, const Value&);

bool whole(const Value& v) { return as<int64_t>(v) != nullptr; }

bool is_iterable(Runtime&, const Value& v) { return as<Str>(v) || as<List*>(v) || as<Dict*>(v) || is_undefined(v); }
bool is_sequence(Runtime&, const Value& v) {
  auto* list = as<List*>(v);
  return as<Str>(v) || as<Dict*>(v) || is_undefined(v) || (list && (*list)->kind <= ListKind::Tuple);
}
bool is_callable(Runtime&, const Value& v) {
  auto* loop = as<Loop*>(v);
  return as<Callable*>(v) || (loop && (*loop)->recurse);
}

/// Cased letters, all of the one case.
template <bool (*Is)(char32_t), bool (*Other)(char32_t)>
bool all_cased(Runtime& rt, const Value& v) {
  const Text text = to_text(rt, v);
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t code = decode(text.bytes, at);
    if (Other(code)) return false;
    any |= Is(code);
  }
  return any;
}

/// 0 or 1 of an integer (a boolean counts), as odd and even need.
int64_t parity(Runtime& rt, const Value& v) {
  const Value rest = arithmetic(rt, Operator::Modulo, v, int64_t{2});
  if (auto* d = as<double>(rest)) return *d == 1.0 ? 1 : *d == 0.0 ? 0 : 2;
  return as<int64_t>(rest) ? *as<int64_t>(rest) : 2;
}

bool same(Runtime& rt, const Value& a, const Value& b) {
  if (a.index() != b.index()) return false;
  if (auto* s = as<Str>(a)) return (*s)->bytes == (*as<Str>(b))->bytes;
  if (as<List*>(a)) return *as<List*>(a) == *as<List*>(b);
  if (as<Dict*>(a)) return *as<Dict*>(a) == *as<Dict*>(b);
  return equal(rt, a, b);
}

struct Simple {
  std::string_view name;
  Test test;
};
constexpr Simple simple[] = {
    {"defined", [](Runtime&, const Value& v) { return !is_undefined(v); }},
    {"undefined", [](Runtime&, const Value& v) { return is_undefined(v); }},
    {"none", [](Runtime&, const Value& v) { return is_none(v); }},
    {"string", [](Runtime&, const Value& v) { return as<Str>(v) != nullptr; }},
    {"mapping", [](Runtime&, const Value& v) { return as<Dict*>(v) != nullptr; }},
    {"boolean", [](Runtime&, const Value& v) { return as<bool>(v) != nullptr; }},
    {"number", [](Runtime&, const Value& v) { return as<bool>(v) || whole(v) || as<double>(v); }},
    {"integer", [](Runtime&, const Value& v) { return whole(v); }},
    {"float", [](Runtime&, const Value& v) { return as<double>(v) != nullptr; }},
    {"true", [](Runtime&, const Value& v) { return as<bool>(v) && *as<bool>(v); }},
    {"false", [](Runtime&, const Value& v) { return as<bool>(v) && !*as<bool>(v); }},
    {"odd", [](Runtime& rt, const Value& v) { return parity(rt, v) == 1; }},
    {"even", [](Runtime& rt, const Value& v) { return parity(rt, v) == 0; }},
    {"escaped", [](Runtime&, const Value& v) { return as<Str>(v) && (*as<Str>(v))->markup; }},
    {"lower", all_cased<is_lower, is_upper>},
    {"upper", all_cased<is_upper, is_lower>},
    {"iterable", is_iterable},
    {"sequence", is_sequence},
    {"callable", is_callable},
};

struct With {
  std::string_view name;
  TestWith test;
};
constexpr TestWith is_equal = [](Runtime& rt, const Value& a, const Value& b) { return test_compare(rt, Operator::Equal, a, b); };
constexpr TestWith is_not_equal = [](Runtime& rt, const Value& a, const Value& b) { return test_compare(rt, Operator::NotEqual, a, b); };
constexpr TestWith is_less = [](Runtime& rt, const Value& a, const Value& b) { return test_compare(rt, Operator::Less, a, b); };
constexpr TestWith is_less_equal = [](Runtime& rt, const Value& a, const Value& b) { return test_compare(rt, Operator::LessEqual, a, b); };
constexpr TestWith is_greater = [](Runtime& rt, const Value& a, const Value& b) { return test_compare(rt, Operator::Greater, a, b); };
constexpr TestWith is_greater_equal = [](Runtime& rt, const Value& a, const Value& b) {
  return test_compare(rt, Operator::GreaterEqual, a, b);
};
constexpr TestWith is_in = [](Runtime& rt, const Value& a, const Value& b) { return contains(rt, b, a); };
constexpr TestWith is_divisible = [](Runtime& rt, const Value& a, const Value& b) {
  return equal(rt, arithmetic(rt, Operator::Modulo, a, b), int64_t{0});
};
constexpr With with_table[] = {
    {"equalto", is_equal},
    {"eq", is_equal},
    {"==", is_equal},
    {"ne", is_not_equal},
    {"!=", is_not_equal},
    {"lt", is_less},
    {"lessthan", is_less},
    {"<", is_less},
    {"le", is_less_equal},
    {"<=", is_less_equal},
    {"gt", is_greater},
    {"greaterthan", is_greater},
    {">", is_greater},
    {"ge", is_greater_equal},
    {">=", is_greater_equal},
    {"in", is_in},
    {"divisibleby", is_divisible},
    {"sameas", same},
};

bool known(std::string_view name) {
  for (auto& entry : simple)
    if (entry.name == name) return true;
  for (auto& entry : with_table)
    if (entry.name == name) return true;
  return name == "filter" || name == "test";
}

}  // namespace

bool apply_test(Runtime& rt, std::string_view name, const Value& subject, const Arguments& arguments) {
  for (auto& entry : simple) {
    if (entry.name != name) continue;
    const Bound none(rt, name, arguments, {});
    return entry.test(rt, subject);
  }
  for (auto& entry : with_table)
    if (entry.name == name) return entry.test(rt, subject, Bound(rt, name, arguments, {"other"}).at(0));
  if (name == "filter" || name == "test") {
    const std::string asked = to_text(rt, subject).bytes;
    return name == "filter" ? find_filter(asked) != nullptr : known(asked);
  }
  rt.fail("no test named '" + std::string(name) + "'");
}

}  // namespace infernum::jinja
