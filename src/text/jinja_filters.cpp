// Filters on single values: defaults, conversions, numbers, JSON; and the lookup of all filters by name.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "text/jinja_library.h"

namespace infernum::jinja {
namespace {

void refuse_undefined(Runtime& rt, const Value& v) {
  if (auto* u = as<Undefined>(v)) rt.fail(describe_undefined(*u));
}

Value default_value(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound bound(rt, "default", arguments, {"default_value", "boolean"});
  if (!is_undefined(v) && !(bound.flag(1, false) && !truthy(v))) return v;
  return bound.has(0) ? bound.at(0) : Value(rt.text(""));
}

Value count(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound none(rt, "length", arguments, {});
  return length(rt, v);
}

Value string(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound none(rt, "string", arguments, {});
  return as<Str>(v) ? v : Value(rt.text(to_text(rt, v)));
}

Value safe(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound none(rt, "safe", arguments, {});
  Text text = to_text(rt, v);
  text.markup = true;
  return rt.text(std::move(text));
}

std::string number_text(const Text& text) {
  std::string out;
  for (char c : strip(text, nullptr, true, true).bytes)
    if (c != '_') out += c;
  if (!out.empty() && out[0] == '+') out.erase(0, 1);
  return out;
}

std::optional<double> parse_real(const Text& text) {
  const std::string s = number_text(text);
  double value = 0;
  const auto read = std::from_chars(s.data(), s.data() + s.size(), value);
  if (s.empty() || read.ptr != s.data() + s.size() || read.ec == std::errc::invalid_argument) return std::nullopt;
  if (read.ec == std::errc::result_out_of_range)
    return s.find("e-") != std::string::npos || s.find("E-") != std::string::npos ? 0.0 : HUGE_VAL;
  return value;
}

std::optional<int64_t> from_real(double d) {
  if (!(std::abs(d) < 9.2e18)) return std::nullopt;
  return static_cast<int64_t>(d);
}

std::optional<int64_t> parse_integer(const Text& text, int base) {
  std::string s = number_text(text);
  const size_t sign = !s.empty() && s[0] == '-' ? 1 : 0;
  const char kind = s.size() > sign + 1 && s[sign] == '0' ? static_cast<char>(s[sign + 1] | 0x20) : ' ';
  if ((base == 16 && kind == 'x') || (base == 8 && kind == 'o') || (base == 2 && kind == 'b')) s.erase(sign, 2);
  int64_t value = 0;
  const auto read = std::from_chars(s.data(), s.data() + s.size(), value, base);
  if (s.empty() || read.ec != std::errc() || read.ptr != s.data() + s.size()) return std::nullopt;
  return value;
}

Value to_integer(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound bound(rt, "int", arguments, {"default", "base"});
  const Value otherwise = bound.has(0) ? bound.at(0) : Value(int64_t{0});
  refuse_undefined(rt, v);
  std::optional<int64_t> out;
  if (auto* n = as<int64_t>(v)) out = *n;
  if (auto* b = as<bool>(v)) out = *b;
  if (auto* d = as<double>(v)) out = from_real(*d);
  if (auto* s = as<Str>(v)) {
    const int64_t base = bound.integer(1, 10);
    if (base < 2 || base > 36) rt.fail("int: the base must be 2 to 36, not " + std::to_string(base));
    out = parse_integer(**s, static_cast<int>(base));
    if (!out)
      if (auto real = parse_real(**s)) out = from_real(*real);
  }
  return out ? Value(*out) : otherwise;
}

Value to_float(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound bound(rt, "float", arguments, {"default"});
  refuse_undefined(rt, v);
  if (auto* n = as<int64_t>(v)) return static_cast<double>(*n);
  if (auto* b = as<bool>(v)) return *b ? 1.0 : 0.0;
  if (as<double>(v)) return v;
  if (auto* s = as<Str>(v))
    if (auto real = parse_real(**s)) return *real;
  return bound.has(0) ? bound.at(0) : Value(0.0);
}

Value absolute(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound none(rt, "abs", arguments, {});
  if (auto* d = as<double>(v)) return std::abs(*d);
  const Value positive = negative(rt, v, false);  // refuses what is no number
  return *as<int64_t>(positive) < 0 ? negative(rt, v, true) : positive;
}

Value round(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound bound(rt, "round", arguments, {"precision", "method"});
  const int64_t precision = bound.integer(0, 0);
  if (precision < -300 || precision > 300) rt.fail("round: the precision must lie within 300 digits");
  const std::string method = bound.has(1) ? bound.text(1)->bytes : "common";
  if (method != "common" && method != "ceil" && method != "floor") rt.fail("round: the method must be common, ceil or floor");
  refuse_undefined(rt, v);
  if (!as<double>(v) && method == "common" && precision >= 0) return negative(rt, v, false);
  if (!as<double>(v)) negative(rt, v, false);
  const double x = as<double>(v)    ? *as<double>(v)
                   : as<int64_t>(v) ? static_cast<double>(*as<int64_t>(v))
                                    : static_cast<double>(*as<bool>(v));
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil") return std::ceil(x * scale) / scale;
  if (method == "floor") return std::floor(x * scale) / scale;
  if (precision < 0) {
    const double rounded = std::nearbyint(x * scale) / scale;
    return as<double>(v) ? Value(rounded) : Value(from_real(rounded).value_or(0));
  }
  if (!std::isfinite(x)) return x;
  char text[700];  // exact decimal rounding, half to even
  std::snprintf(text, sizeof text, "%.*f", static_cast<int>(precision), x);
  double rounded = x;
  std::from_chars(text, text + std::char_traits<char>::length(text), rounded);
  return rounded;
}

Value json(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound bound(rt, "tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = bound.flag(0, false);
  style.sort_keys = bound.flag(3, false);
  if (bound.has(1) && !is_none(bound.at(1))) {
    style.multiline = true;
    style.item_separator = std::string(1, ',');
    if (auto* s = as<Str>(bound.at(1)))
      style.indent = (*s)->bytes;
    else
      style.indent.assign(static_cast<size_t>(std::clamp<int64_t>(bound.integer(1), 0, 1000)), ' ');
  }
  if (bound.has(2) && !is_none(bound.at(2))) {
    const auto pair = elements(rt, bound.at(2));
    if (pair.size() != 2 || !as<Str>(pair[0]) || !as<Str>(pair[1])) rt.fail("tojson: separators must be two strings");
    style.item_separator = (*as<Str>(pair[0]))->bytes;
    style.key_separator = (*as<Str>(pair[1]))->bytes;
  }
  return rt.text(to_json(rt, v, style));
}

Value parse_json(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound none(rt, "from_json", arguments, {});
  auto* s = as<Str>(v);
  if (!s) rt.fail(std::string("from_json needs a string, not ") + type_name(v));
  return from_json(rt, **s);
}

Value attr(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Str name = Bound(rt, "attr", arguments, {"name"}).text(0);
  if (as<Dict*>(v) && !has_method(rt, v, name->bytes)) return Undefined{name, "dict object"};
  return attribute(rt, v, name);
}

struct Entry {
  std::string_view name;
  Filter filter;
};
constexpr Entry filter_table[] = {
    {"default", default_value}, {"d", default_value}, {"length", count}, {"count", count}, {"string", string}, {"safe", safe},
    {"int", to_integer},        {"float", to_float},  {"abs", absolute}, {"round", round}, {"tojson", json},   {"attr", attr},
};

}  // namespace

Filter find_filter(std::string_view name) {
  for (auto& entry : filter_table)
    if (entry.name == name) return entry.filter;
  if (Filter found = find_text_filter(name)) return found;
  return find_sequence_filter(name);
}

Value apply_filter(Runtime& rt, std::string_view name, const Value& subject, const Arguments& arguments) {
  if (const Filter filter = find_filter(name)) return filter(rt, subject, arguments);
  if (rt.dialect() == Dialect::Extended && (name == "from_json" || name == "fromjson")) return parse_json(rt, subject, arguments);
  rt.fail("no filter named '" + std::string(name) + "'");
}

}  // namespace infernum::jinja
