// Python's two ways to format a string: '%s' % values and '{}'.format(values).
#include <algorithm>
#include <charconv>
#include <cstdio>

#include "text/jinja_library.h"

namespace infernum::jinja {
namespace {

struct Spec {
  bool left = false, zeros = false, sign = false, blank = false, alternate = false;
  int width = 0, precision = -1;
  char type = 's';
};

/// One value as text, padded to the width.
void append_padded(Text& out, const Text& body, const Spec& spec) {
  const size_t size = count_characters(body.bytes), width = static_cast<size_t>(spec.width);
  const std::string gap(width > size ? width - size : 0, ' ');
  if (!spec.left) out.append(gap);
  out.append(body);
  if (spec.left) out.append(gap);
}

std::string number(Runtime& rt, const Spec& spec, const Value& v) {
  std::string flags = "%";
  if (spec.left) flags += '-';
  if (spec.zeros) flags += '0';
  if (spec.sign) flags += '+';
  if (spec.blank) flags += ' ';
  if (spec.alternate) flags += '#';
  flags += std::to_string(spec.width);
  if (spec.precision >= 0) flags += '.' + std::to_string(spec.precision);
  char text[1000];  // width and precision are at most 300, a double has at most 309 digits before the point
  const bool real = std::string_view("eEfFgG").find(spec.type) != std::string_view::npos;
  auto* d = as<double>(v);
  auto* n = as<int64_t>(v);
  auto* b = as<bool>(v);
  if (!d && !n && !b) rt.fail(std::string("format %") + spec.type + " needs a number, not " + type_name(v));
  if (real) {
    const double x = d ? *d : n ? static_cast<double>(*n) : static_cast<double>(*b);
    std::snprintf(text, sizeof text, (flags + spec.type).c_str(), x);
    return text;
  }
  if (d && !(*d > -9.2e18 && *d < 9.2e18)) rt.fail("format: the number is out of range");
  const long long x = d ? static_cast<long long>(*d) : n ? *n : *b;
  const bool hexadecimal = spec.type == 'x' || spec.type == 'X' || spec.type == 'o';
  if (hexadecimal && x < 0) rt.fail("format: negative numbers have no such form");
  std::snprintf(text, sizeof text, (flags + "ll" + (hexadecimal ? spec.type : 'd')).c_str(), x);
  return text;
}

/// Reads digits at `at`; larger widths than 300 are refused.
int small_number(Runtime& rt, std::string_view s, size_t& at) {
  int n = 0;
  for (; at < s.size() && s[at] >= '0' && s[at] <= '9'; at++) {
    n = n * 10 + (s[at] - '0');
    if (n > 300) rt.fail("format: widths and precisions above 300 are refused");
  }
  return n;
}

Spec parse_spec(Runtime& rt, std::string_view s, size_t& at) {
  Spec spec;
  for (; at < s.size(); at++) {
    if (s[at] == '-')
      spec.left = true;
    else if (s[at] == '0')
      spec.zeros = true;
    else if (s[at] == '+')
      spec.sign = true;
    else if (s[at] == ' ')
      spec.blank = true;
    else if (s[at] == '#')
      spec.alternate = true;
    else
      break;
  }
  spec.width = small_number(rt, s, at);
  if (at < s.size() && s[at] == '.') spec.precision = small_number(rt, s, ++at);
  if (at >= s.size()) rt.fail("format: incomplete format");
  spec.type = s[at++];
  return spec;
}

void append_formatted(Runtime& rt, Text& out, const Spec& spec, const Value& v) {
  if (spec.type == 's' || spec.type == 'r') {
    Text body;
    if (spec.type == 's')
      body = to_text(rt, v);
    else
      append_repr(rt, body, v);
    if (spec.precision >= 0) {
      const auto offsets = character_offsets(body.bytes);
      body = body.slice(0, offsets[std::min(static_cast<size_t>(spec.precision), offsets.size() - 1)]);
    }
    return append_padded(out, body, spec);
  }
  if (std::string_view("dixXoeEfFgG").find(spec.type) == std::string_view::npos || spec.type == 0)
    rt.fail(std::string("format: unsupported format character '") + spec.type + "'");
  out.append(number(rt, spec, v));
}

struct Numbering {
  size_t next = 0;  // of {}
  bool automatic = false, manual = false;
};

/// The argument of {}, {0} or {name}, with .attribute and [key] steps.
Value field_value(Runtime& rt, std::string_view field, const Arguments& arguments, Numbering& numbering) {
  const size_t end = std::min(field.find_first_of(".["), field.size());
  const std::string_view name = field.substr(0, end);
  Value v = Undefined{};
  bool found = false;
  size_t index = 0;
  const bool positional = name.empty() || std::from_chars(name.data(), name.data() + name.size(), index).ptr == name.data() + name.size();
  if (name.empty()) index = numbering.next++;
  (name.empty() ? numbering.automatic : numbering.manual) |= positional;
  if (numbering.automatic && numbering.manual) rt.fail("format: {} and {0} cannot be mixed");
  size_t at = 0;
  for (auto& argument : arguments) {
    if (positional ? !argument.name && at++ == index : argument.name && argument.name->bytes == name) v = argument.value, found = true;
  }
  if (!found) rt.fail("format: no argument for '{" + std::string(field.substr(0, 60)) + "}'");
  for (size_t i = end; i < field.size();) {
    const bool bracket = field[i] == '[';
    const size_t stop = bracket ? field.find(']', i) : std::min(field.find_first_of(".[", i + 1), field.size());
    if (stop == std::string_view::npos || (!bracket && field[i] != '.'))
      rt.fail("format: bad field '" + std::string(field.substr(0, 60)) + "'");
    const Str key = rt.text(field.substr(i + 1, stop - i - 1));
    v = bracket ? subscript(rt, v, key) : attribute(rt, v, key);
    i = bracket ? stop + 1 : stop;
  }
  return v;
}

Spec brace_spec(Runtime& rt, std::string_view text, const Value& v) {
  size_t at = 0;
  Spec spec;
  spec.left = !(as<int64_t>(v) || as<double>(v) || as<bool>(v));
  if (at < text.size() && (text[at] == '<' || text[at] == '>')) spec.left = text[at++] == '<';
  if (at < text.size() && text[at] == '+') spec.sign = true, at++;
  if (at < text.size() && text[at] == '0') spec.zeros = true, at++;
  spec.width = small_number(rt, text, at);
  if (at < text.size() && text[at] == '.') spec.precision = small_number(rt, text, ++at);
  if (at < text.size())
    spec.type = text[at++];
  else if (as<double>(v) && spec.precision >= 0)
    spec.type = 'g';
  if (at < text.size()) rt.fail("format: unsupported format '" + std::string(text.substr(0, 60)) + "'");
  return spec;
}

}  // namespace

Text format_percent(Runtime& rt, const Text& format, const Arguments& arguments) {
  const std::string& s = format.bytes;
  Text out;
  size_t next = 0;
  for (size_t at = 0; at < s.size();) {
    const size_t percent = std::min(s.find('%', at), s.size());
    out.append(format, at, percent);
    if (percent == s.size()) break;
    at = percent + 1;
    if (at < s.size() && s[at] == '%') {
      out.append(format, at, at + 1);
      at++;
      continue;
    }
    const Value* named = nullptr;
    if (at < s.size() && s[at] == '(') {  // %(name)s
      const size_t close = std::min(s.find(')', at), s.size());
      auto* dict = arguments.size() == 1 ? as<Dict*>(arguments[0].value) : nullptr;
      for (auto& argument : arguments)
        if (argument.name && argument.name->bytes == s.substr(at + 1, close - at - 1)) named = &argument.value;
      if (dict) named = (*dict)->find(s.substr(at + 1, close - at - 1)), next = 1;
      if (!named) rt.fail("format: no argument for '" + s.substr(percent, std::min<size_t>(close - percent + 1, 60)) + "'");
      at = std::min(close + 1, s.size());
    }
    const Spec spec = parse_spec(rt, s, at);
    if (!named && next >= arguments.size()) rt.fail("format: not enough arguments for format string");
    append_formatted(rt, out, spec, named ? *named : arguments[next++].value);
    rt.check_string(out.size());
  }
  const bool leftover = next < arguments.size() && !(arguments.size() == 1 && as<Dict*>(arguments[0].value)) && !arguments.back().name;
  if (leftover) rt.fail("format: not all arguments converted during string formatting");
  return out;
}

Text format_braces(Runtime& rt, const Text& format, const Arguments& arguments) {
  const std::string& s = format.bytes;
  Text out;
  Numbering numbering;
  for (size_t at = 0; at < s.size();) {
    const size_t brace = std::min(s.find_first_of("{}", at), s.size());
    out.append(format, at, brace);
    if (brace == s.size()) break;
    if (brace + 1 < s.size() && s[brace + 1] == s[brace]) {
      out.append(format, brace, brace + 1);
      at = brace + 2;
      continue;
    }
    const size_t close = s[brace] == '{' ? s.find('}', brace) : std::string::npos;
    if (close == std::string::npos) rt.fail(std::string("format: single '") + s[brace] + "' in format string");
    const std::string_view field = std::string_view(s).substr(brace + 1, close - brace - 1);
    const size_t colon = std::min(field.find(':'), field.size()), mark = std::min(field.find('!'), colon);
    const Value v = field_value(rt, field.substr(0, mark), arguments, numbering);
    Spec spec = brace_spec(rt, field.substr(std::min(colon + 1, field.size())), v);
    if (field.substr(mark, colon - mark) == "!r") spec.type = 'r';
    append_formatted(rt, out, spec, v);
    rt.check_string(out.size());
    at = close + 1;
  }
  return out;
}

}  // namespace infernum::jinja
