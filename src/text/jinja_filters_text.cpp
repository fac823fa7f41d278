// Filters on text. Values of other types are printed first, as Jinja does.
#include <algorithm>

#include "text/jinja_library.h"

namespace infernum::jinja {
namespace {

/// What these filters make of markup stays markup.
Value like(Runtime& rt, const Value& v, Text text) {
  text.markup = as<Str>(v) && (*as<Str>(v))->markup;
  return rt.text(std::move(text));
}

Value upper(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound none(rt, "upper", arguments, {});
  return like(rt, v, to_case(to_text(rt, v), Case::Upper));
}
Value lower(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound none(rt, "lower", arguments, {});
  return like(rt, v, to_case(to_text(rt, v), Case::Lower));
}
Value capitalized(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound none(rt, "capitalize", arguments, {});
  return like(rt, v, capitalize(to_text(rt, v)));
}
Value title(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound none(rt, "title", arguments, {});
  return rt.text(to_title(to_text(rt, v), Words::Blanks));
}

Value trim(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Str set = Bound(rt, "trim", arguments, {"chars"}).text_or_none(0);
  return like(rt, v, strip(to_text(rt, v), set.get(), true, true));
}

Value replaced(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound bound(rt, "replace", arguments, {"old", "new", "count"});
  const int64_t count = bound.has(2) && !is_none(bound.at(2)) ? bound.integer(2) : -1;
  const Text text = to_text(rt, v);
  rt.step(text.size() / 16);
  return rt.text(replace(text, to_text(rt, bound.at(0)), to_text(rt, bound.at(1)), count, rt.limits().string_bytes));
}

Value indent(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound bound(rt, "indent", arguments, {"width", "first", "blank"});
  auto* text = as<Str>(v);
  if (!text) rt.fail(std::string("indent needs a string, not ") + type_name(v));
  Text margin;
  if (bound.has(0) && as<Str>(bound.at(0)))
    margin = *bound.text(0);
  else
    margin.append(std::string(static_cast<size_t>(std::clamp<int64_t>(bound.integer(0, 4), 0, 10000)), ' '));
  Text closed = **text;
  closed.append("\n");
  const auto lines = split_lines(closed, false);
  Text out;
  for (size_t i = 0; i < lines.size(); i++) {
    if (i) out.append("\n");
    if (i ? bound.flag(2, false) || !lines[i].empty() : bound.flag(1, false)) out.append(margin);
    out.append(lines[i]);
    rt.check_string(out.size());
  }
  return rt.text(std::move(out));
}

Value escape(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound none(rt, "escape", arguments, {});
  return rt.text(escape_html(to_text(rt, v)));
}

Value urlencode(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound none(rt, "urlencode", arguments, {});
  const Text text = to_text(rt, v);
  static constexpr char digits[] = "0123456789ABCDEF";
  Text out;
  for (size_t i = 0; i < text.size(); i++) {
    const auto c = static_cast<unsigned char>(text.bytes[i]);
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '-' ||
                       c == '~' || c == '/';
    const char code[] = {'%', digits[c >> 4], digits[c & 15]};
    if (plain)
      out.append(text, i, i + 1);
    else
      out.append(std::string_view(code, 3), text.has_input(i, i + 1));
  }
  return rt.text(std::move(out));
}

Value wordcount(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound none(rt, "wordcount", arguments, {});
  const Text text = to_text(rt, v);
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t code = decode(text.bytes, at);
    const bool word = code == '_' || is_letter(code) || is_digit(code);
    words += word && !inside;
    inside = word;
  }
  return words;
}

Value truncate(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound bound(rt, "truncate", arguments, {"length", "killwords", "end", "leeway"});
  const Text text = to_text(rt, v), end = bound.has(2) ? *bound.text(2) : Text("...");
  const auto offsets = character_offsets(text.bytes);
  const auto size = static_cast<int64_t>(offsets.size() - 1), tail = static_cast<int64_t>(count_characters(end.bytes));
  const int64_t wanted = bound.integer(0, 255), leeway = bound.integer(3, 5);
  if (wanted < tail || leeway < 0)
    rt.fail("truncate: the length must be at least that of '" + end.bytes.substr(0, 60) + "', the leeway positive");
  if (wanted >= size || size - wanted <= leeway) return rt.text(text);
  Text out = text.slice(0, offsets[static_cast<size_t>(wanted - tail)]);
  if (!bound.flag(1, false)) {
    const size_t blank = out.bytes.rfind(' ');
    if (blank != std::string::npos) out = out.slice(0, blank);
  }
  out.append(end);
  return rt.text(std::move(out));
}

Value center(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound bound(rt, "center", arguments, {"width"});
  return call_text_method(rt, rt.text(to_text(rt, v)), "center", {{nullptr, bound.integer(0, 80)}});
}

Value format(Runtime& rt, const Value& v, const Arguments& arguments) { return rt.text(format_percent(rt, to_text(rt, v), arguments)); }

struct Entry {
  std::string_view name;
  Filter filter;
};
constexpr Entry filter_table[] = {
    {"upper", upper},         {"lower", lower},         {"capitalize", capitalized}, {"title", title},
    {"trim", trim},           {"indent", indent},       {"escape", escape},          {"e", escape},
    {"urlencode", urlencode}, {"wordcount", wordcount}, {"center", center},          {"format", format},
    {"replace", replaced},    {"truncate", truncate},   {"forceescape", escape},
};

}  // namespace

Filter find_text_filter(std::string_view name) {
  for (auto& entry : filter_table)
    if (entry.name == name) return entry.filter;
  return nullptr;
}

}  // namespace infernum::jinja
