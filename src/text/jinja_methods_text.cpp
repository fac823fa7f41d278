// Methods of strings, after Python's str.
#include <algorithm>

#include "text/jinja_library.h"

namespace infernum::jinja {
namespace {

Value texts(Runtime& rt, std::vector<Text> parts, ListKind kind = ListKind::List) {
  std::vector<Value> out;
  out.reserve(parts.size());
  for (auto& part : parts) out.emplace_back(rt.text(std::move(part)));
  return rt.list(std::move(out), kind);
}

using Method = Value (*)(Runtime&, const Text&, std::string_view name, const Arguments&);

Value cased(Runtime& rt, const Text& s, std::string_view name, const Arguments& arguments) {
  const Bound none(rt, name, arguments, {});
  if (name == "upper") return rt.text(to_case(s, Case::Upper));
  if (name == "lower" || name == "casefold") return rt.text(to_case(s, Case::Lower));
  if (name == "capitalize") return rt.text(capitalize(s));
  if (name == "title") return rt.text(to_title(s, Words::Letters));
  Text out;  // swapcase
  Character c;
  for (Characters walk(s); walk.next(c);) append_cased(out, s, c, is_upper(c.code) ? Case::Lower : Case::Upper);
  return rt.text(std::move(out));
}

Value stripped(Runtime& rt, const Text& s, std::string_view name, const Arguments& arguments) {
  const Str set = Bound(rt, name, arguments, {"chars"}).text_or_none(0);
  rt.step(set ? s.size() / 16 * (set->size() / 64 + 1) : 0);
  return rt.text(strip(s, set.get(), name != "rstrip", name != "lstrip"));
}

Value splitted(Runtime& rt, const Text& s, std::string_view name, const Arguments& arguments) {
  const Bound bound(rt, name, arguments, {"sep", "maxsplit"});
  const Str separator = bound.text_or_none(0);
  if (separator && separator->empty()) rt.fail(std::string(name) + ": empty separator");
  const int64_t most = bound.integer(1, -1);
  rt.step(s.size() / 16);
  return texts(rt, name == "split" ? split(s, separator.get(), most) : split_from_right(s, separator.get(), most));
}

Value lines(Runtime& rt, const Text& s, std::string_view name, const Arguments& arguments) {
  return texts(rt, split_lines(s, Bound(rt, name, arguments, {"keepends"}).flag(0, false)));
}

Value partitioned(Runtime& rt, const Text& s, std::string_view name, const Arguments& arguments) {
  const Str separator = Bound(rt, name, arguments, {"sep"}).text(0);
  if (separator->empty()) rt.fail(std::string(name) + ": empty separator");
  const bool right = name == "rpartition";
  const size_t hit = right ? s.bytes.rfind(separator->bytes) : s.bytes.find(separator->bytes);
  std::vector<Text> parts;
  if (hit != std::string::npos)
    parts = {s.slice(0, hit), s.slice(hit, hit + separator->size()), s.slice(hit + separator->size(), s.size())};
  else if (right)
    parts = {Text(), Text(), s};
  else
    parts = {s, Text(), Text()};
  return texts(rt, std::move(parts), ListKind::Tuple);
}

struct Window {
  size_t begin, end;  // bytes
  bool possible;      // Python: a start past the end finds nothing, not even ''
};

/// The start and end arguments of find, count, startswith ... as byte offsets.
Window window(Runtime& rt, const Text& s, const Bound& bound) {
  if (!bound.has(1) && !bound.has(2)) return {0, s.size(), true};
  rt.step(s.size() / 8);
  const auto offsets = character_offsets(s.bytes);
  const auto size = static_cast<int64_t>(offsets.size() - 1);
  auto at = [&](size_t i, int64_t otherwise) {
    int64_t n = bound.has(i) && !is_none(bound.at(i)) ? bound.integer(i) : otherwise;
    return n < 0 ? std::max<int64_t>(0, n + size) : n;
  };
  const int64_t begin = at(1, 0), end = std::min(at(2, size), size);
  if (begin > end) return {0, 0, false};
  return {offsets[static_cast<size_t>(begin)], offsets[static_cast<size_t>(end)], true};
}

bool affixed(const Text& s, const Window& w, const Text& part, bool front) {
  if (!w.possible || part.size() > w.end - w.begin) return false;
  return s.bytes.compare(front ? w.begin : w.end - part.size(), part.size(), part.bytes) == 0;
}

Value starts_or_ends(Runtime& rt, const Text& s, std::string_view name, const Arguments& arguments) {
  const Bound bound(rt, name, arguments, {"affix", "start", "end"});
  const Window w = window(rt, s, bound);
  const bool front = name == "startswith";
  auto* tuple = as<List*>(bound.at(0));
  if (!tuple || (*tuple)->kind != ListKind::Tuple) return affixed(s, w, *bound.text(0), front);
  for (auto& item : (*tuple)->items) {
    auto* part = as<Str>(item);
    if (!part) rt.fail(std::string(name) + ": the tuple must hold strings");
    if (affixed(s, w, **part, front)) return true;
  }
  return false;
}

Value without_affix(Runtime& rt, const Text& s, std::string_view name, const Arguments& arguments) {
  const Str part = Bound(rt, name, arguments, {"affix"}).text(0);
  const bool front = name == "removeprefix";
  if (!affixed(s, {0, s.size(), true}, *part, front)) return rt.text(s);
  return rt.text(front ? s.slice(part->size(), s.size()) : s.slice(0, s.size() - part->size()));
}

Value found(Runtime& rt, const Text& s, std::string_view name, const Arguments& arguments) {
  const Bound bound(rt, name, arguments, {"sub", "start", "end"});
  const Str part = bound.text(0);
  const Window w = window(rt, s, bound);
  rt.step(s.size() / 64 + s.size() / 64 * (part->size() / 64));
  const std::string_view all = std::string_view(s.bytes).substr(w.begin, w.end - w.begin);
  const bool right = name[0] == 'r';
  const size_t hit = !w.possible ? std::string_view::npos : right ? all.rfind(part->bytes) : all.find(part->bytes);
  if (hit != std::string_view::npos) return static_cast<int64_t>(count_characters(std::string_view(s.bytes).substr(0, w.begin + hit)));
  if (name == "index" || name == "rindex") rt.fail(std::string(name) + ": substring not found");
  return int64_t{-1};
}

Value counted(Runtime& rt, const Text& s, std::string_view name, const Arguments& arguments) {
  const Bound bound(rt, name, arguments, {"sub", "start", "end"});
  const Str part = bound.text(0);
  const Window w = window(rt, s, bound);
  const std::string_view all = std::string_view(s.bytes).substr(w.begin, w.end - w.begin);
  rt.step(s.size() / 64 + s.size() / 64 * (part->size() / 64));
  if (!w.possible) return int64_t{0};
  if (part->empty()) return static_cast<int64_t>(count_characters(all)) + 1;
  int64_t n = 0;
  for (size_t at = all.find(part->bytes); at != std::string_view::npos; at = all.find(part->bytes, at + part->size())) n++;
  return n;
}

Value classified(Runtime& rt, const Text& s, std::string_view name, const Arguments& arguments) {
  const Bound none(rt, name, arguments, {});
  bool cased_letter = false;
  for (size_t at = 0; at < s.size();) {
    const char32_t c = decode(s.bytes, at);
    bool ok = true;
    if (name == "isspace")
      ok = is_space(c);
    else if (name == "isalpha")
      ok = is_letter(c);
    else if (name == "isalnum")
      ok = is_letter(c) || is_digit(c);
    else if (name == "isupper")
      ok = !is_lower(c);
    else if (name == "islower")
      ok = !is_upper(c);
    else if (name == "isascii")
      ok = c < 0x80;
    else
      ok = is_digit(c);  // isdigit, isdecimal, isnumeric
    if (!ok) return false;
    cased_letter |= is_upper(c) || is_lower(c);
  }
  if (name == "isupper" || name == "islower") return cased_letter;
  return !s.empty() || name == "isascii";
}

Value replaced(Runtime& rt, const Text& s, std::string_view name, const Arguments& arguments) {
  const Bound bound(rt, name, arguments, {"old", "new", "count"});
  rt.step(s.size() / 16);
  return rt.text(replace(s, *bound.text(0), *bound.text(1), bound.integer(2, -1), rt.limits().string_bytes));
}

Value joined(Runtime& rt, const Text& s, std::string_view name, const Arguments& arguments) {
  Text out;
  bool begun = false;
  for (auto& item : elements(rt, Bound(rt, name, arguments, {"iterable"}).at(0))) {
    auto* part = as<Str>(item);
    if (!part) rt.fail(std::string("join: expected a string, found ") + type_name(item));
    if (begun) out.append(s);
    begun = true;
    out.append(**part);
    rt.check_string(out.size());
  }
  return rt.text(std::move(out));
}

Value padded(Runtime& rt, const Text& s, std::string_view name, const Arguments& arguments) {
  const Bound bound(rt, name, arguments, {"width", "fillchar"});
  const Text fill = name == "zfill" ? Text("0") : bound.has(1) ? *bound.text(1) : Text(" ");
  if (count_characters(fill.bytes) != 1) rt.fail(std::string(name) + ": the fill must be one character");
  const auto size = static_cast<int64_t>(count_characters(s.bytes));
  const int64_t missing = std::max<int64_t>(0, bound.integer(0) - size);
  rt.check_string(s.size() + std::min<size_t>(static_cast<size_t>(missing), SIZE_MAX / 8) * fill.size());
  int64_t left = 0;
  if (name == "rjust" || name == "zfill")
    left = missing;
  else if (name == "center")
    left = missing / 2 + (missing & bound.integer(0) & 1);
  const size_t sign = name == "zfill" && !s.empty() && (s.bytes[0] == '-' || s.bytes[0] == '+') ? 1 : 0;
  Text out = s.slice(0, sign);
  for (int64_t i = 0; i < left; i++) out.append(fill);
  out.append(s, sign, s.size());
  for (int64_t i = left; i < missing; i++) out.append(fill);
  return rt.text(std::move(out));
}

Value formatted(Runtime& rt, const Text& s, std::string_view, const Arguments& arguments) {
  return rt.text(format_braces(rt, s, arguments));
}

struct Entry {
  std::string_view name;
  Method method;
};
constexpr Entry method_table[] = {
    {"upper", cased},
    {"lower", cased},
    {"capitalize", cased},
    {"title", cased},
    {"swapcase", cased},
    {"casefold", cased},
    {"strip", stripped},
    {"lstrip", stripped},
    {"rstrip", stripped},
    {"split", splitted},
    {"rsplit", splitted},
    {"splitlines", lines},
    {"partition", partitioned},
    {"rpartition", partitioned},
    {"startswith", starts_or_ends},
    {"endswith", starts_or_ends},
    {"removeprefix", without_affix},
    {"removesuffix", without_affix},
    {"find", found},
    {"rfind", found},
    {"index", found},
    {"rindex", found},
    {"count", counted},
    {"isspace", classified},
    {"isalpha", classified},
    {"isalnum", classified},
    {"isupper", classified},
    {"islower", classified},
    {"isascii", classified},
    {"isdigit", classified},
    {"isdecimal", classified},
    {"isnumeric", classified},
    {"replace", replaced},
    {"join", joined},
    {"center", padded},
    {"ljust", padded},
    {"rjust", padded},
    {"zfill", padded},
    {"format", formatted},
};

}  // namespace

namespace {
/// Markup escapes what its methods add to it, and yields markup.
Value of_markup(Runtime& rt, Method method, const Text& s, std::string_view name, Arguments arguments) {
  auto escaped = [&](const Value& v) { return as<Str>(v) ? Value(rt.text(escape_html(**as<Str>(v)))) : v; };
  auto marked = [&](const Value& v) {
    if (!as<Str>(v)) return v;
    Text text = **as<Str>(v);
    text.markup = true;
    return Value(rt.text(std::move(text)));
  };
  if (name == "format" || name == "replace")
    for (size_t i = name == "replace" ? 1 : 0; i < arguments.size(); i++) arguments[i].value = escaped(arguments[i].value);
  if (name == "join" && !arguments.empty()) {
    auto items = elements(rt, arguments[0].value);
    for (auto& item : items) item = escaped(item);
    arguments[0].value = rt.list(std::move(items));
  }
  const Value out = method(rt, s, name, arguments);
  if (auto* list = as<List*>(out))
    for (auto& item : (*list)->items) item = marked(item);
  return marked(out);
}
}  // namespace

bool has_text_method(std::string_view name) {
  return std::any_of(std::begin(method_table), std::end(method_table), [&](auto& entry) { return entry.name == name; });
}

Value call_text_method(Runtime& rt, const Str& object, std::string_view name, const Arguments& arguments) {
  for (auto& entry : method_table)
    if (entry.name == name)
      return object->markup ? of_markup(rt, entry.method, *object, name, arguments) : entry.method(rt, *object, name, arguments);
  rt.fail("'str object' has no attribute '" + std::string(name) + "'");
}

}  // namespace infernum::jinja
