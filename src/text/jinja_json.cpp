// tojson as Python's json.dumps writes it, from_json, and the conversion of request documents.
#include "text/jinja_json.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "text/jinja_library.h"
#include "text/ordered_json.h"

namespace infernum::jinja {
namespace {

void append_string(Text& out, const Text& text, bool ensure_ascii) {
  out.append("\"");
  Character c;
  size_t plain = 0;  // bytes before this are written
  for (Characters walk(text); walk.next(c);) {
    char escape[16] = "";
    static constexpr std::string_view special = "\"\\\b\f\n\r\t", letters = "\"\\bfnrt";
    const size_t at = c.code < 0x80 ? special.find(static_cast<char>(c.code)) : std::string_view::npos;
    if (at != std::string_view::npos)
      std::snprintf(escape, sizeof escape, "\\%c", letters[at]);
    else if (c.code >= 0x20 && (!ensure_ascii || (c.code < 0x80 && c.code != 0x7F) || c.code == invalid_byte))
      continue;
    else if (c.code < 0x10000)
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c.code));
    else
      std::snprintf(escape, sizeof escape, "\\u%04x\\u%04x", static_cast<unsigned>(0xD800 + ((c.code - 0x10000) >> 10)),
                    static_cast<unsigned>(0xDC00 + ((c.code - 0x10000) & 0x3FF)));
    out.append(text, plain, c.begin);
    out.append(escape, c.input);
    plain = c.end;
  }
  out.append(text, plain, text.size());
  out.append("\"");
}

std::string number(double d) {
  if (std::isnan(d)) return "NaN";
  if (std::isinf(d)) return d < 0 ? "-Infinity" : "Infinity";
  return float_text(d);
}

class Writer {
 public:
  Writer(Runtime& rt, const JsonStyle& style) : rt_(rt), style_(style) {}

  void write(const Value& v, int depth) {
    rt_.step();
    rt_.check_string(out.size());
    if (depth > rt_.limits().nesting) rt_.fail("tojson: nested deeper than " + std::to_string(rt_.limits().nesting) + " levels");
    if (is_none(v))
      out.append("null");
    else if (auto* b = as<bool>(v))
      out.append(*b ? "true" : "false");
    else if (auto* n = as<int64_t>(v))
      out.append(std::to_string(*n));
    else if (auto* d = as<double>(v))
      out.append(number(*d));
    else if (auto* s = as<Str>(v))
      string(**s);
    else if (auto* list = as<List*>(v); list && (*list)->kind <= ListKind::Tuple)
      write_list(**list, depth);
    else if (auto* dict = as<Dict*>(v))
      write_dict(**dict, depth);
    else
      rt_.fail(std::string("Object of type ") + type_name(v) + " is not JSON serializable");
  }

  Text out;

 private:
  void string(const Text& text) {
    rt_.step(text.size() / 16);
    append_string(out, text, style_.ensure_ascii);
  }

  void line(int depth) {
    if (!style_.multiline) return;
    rt_.check_string(out.size() + static_cast<size_t>(depth) * style_.indent.size());
    out.append("\n");
    for (int i = 0; i < depth; i++) out.append(style_.indent);
  }

  void write_list(const List& list, int depth) {
    out.append("[");
    for (size_t i = 0; i < list.items.size(); i++) {
      if (i) out.append(style_.item_separator);
      line(depth + 1);
      write(list.items[i], depth + 1);
    }
    if (!list.items.empty()) line(depth);
    out.append("]");
  }

  /// JSON keys are strings: numbers, booleans and none become their words.
  Text key_text(const Value& key) {
    if (auto* s = as<Str>(key)) return **s;
    if (is_none(key)) return Text("null");
    if (auto* b = as<bool>(key)) return Text(*b ? "true" : "false");
    if (auto* n = as<int64_t>(key)) return Text(std::to_string(*n));
    if (auto* d = as<double>(key)) return Text(number(*d));
    rt_.fail(std::string("tojson: keys must be strings or numbers, not ") + type_name(key));
  }

  void write_dict(const Dict& dict, int depth) {
    std::vector<const Dict::Item*> items;
    for (auto& item : dict.items()) items.push_back(&item);
    if (style_.sort_keys) std::stable_sort(items.begin(), items.end(), [&](auto* a, auto* b) { return compare(rt_, a->key, b->key) < 0; });
    out.append("{");
    for (size_t i = 0; i < items.size(); i++) {
      if (i) out.append(style_.item_separator);
      line(depth + 1);
      string(key_text(items[i]->key));
      out.append(style_.key_separator);
      write(items[i]->value, depth + 1);
    }
    if (!items.empty()) line(depth);
    out.append("}");
  }

  Runtime& rt_;
  const JsonStyle& style_;
};

bool is_usual_role(const nlohmann::ordered_json& v) {
  static constexpr std::string_view roles[] = {"system", "developer", "user", "assistant", "tool", "function"};
  return v.is_string() && std::find(std::begin(roles), std::end(roles), v.get_ref<const std::string&>()) != std::end(roles);
}

}  // namespace

bool nests_deeper(std::string_view json, int limit) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < json.size(); i++) {
    const char c = json[i];
    if (quoted && c == '\\')
      i++;
    else if (c == '"')
      quoted = !quoted;
    else if (!quoted && (c == '[' || c == '{') && ++depth > limit)
      return true;
    else if (!quoted && (c == ']' || c == '}'))
      depth--;
  }
  return false;
}

Text to_json(Runtime& rt, const Value& v, const JsonStyle& style) {
  if (auto* u = as<Undefined>(v)) rt.fail("tojson: " + describe_undefined(*u));
  Writer writer(rt, style);
  writer.write(v, 0);
  return std::move(writer.out);
}

Value from_json(Runtime& rt, const Text& text) {
  rt.step(text.size() / 8);
  if (nests_deeper(text.bytes, rt.limits().nesting))
    rt.fail("from_json: nested deeper than " + std::to_string(rt.limits().nesting) + " levels");
  rt.grow(text.size() * 8);  // what the parsed document takes while it is converted, roughly
  nlohmann::ordered_json document;
  try {
    document = parse_ordered_json(text.bytes, "from_json");
  } catch (const Error&) {
    rt.fail("from_json: not valid JSON");
  }
  return from_document(rt, document, text.has_input() ? Origin::Request : Origin::Template);
}

Value from_document(Runtime& rt, const nlohmann::ordered_json& document, Origin origin, int depth) {
  using Type = nlohmann::ordered_json::value_t;
  rt.step();
  if (depth > rt.limits().nesting) rt.fail("the request nests deeper than " + std::to_string(rt.limits().nesting) + " levels");
  switch (document.type()) {
    case Type::string: return rt.text(Text(document.get_ref<const std::string&>(), origin != Origin::Template));
    case Type::boolean: return document.get<bool>();
    case Type::number_integer: return document.get<int64_t>();
    case Type::number_unsigned:
      if (document.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) return static_cast<double>(document.get<uint64_t>());
      return document.get<int64_t>();
    case Type::number_float: return document.get<double>();
    case Type::array: {
      std::vector<Value> items;
      items.reserve(document.size());
      for (auto& item : document) items.push_back(from_document(rt, item, origin, depth + 1));
      return rt.list(std::move(items));
    }
    case Type::object: {
      Dict* dict = rt.dict();
      for (auto& [key, value] : document.items()) {
        const bool own = origin == Origin::Conversation && depth == 1 && key == "role" && is_usual_role(value);
        rt.set(*dict, rt.text(Text(key, origin != Origin::Template)), from_document(rt, value, own ? Origin::Template : origin, depth + 1));
      }
      return dict;
    }
    default: return None{};
  }
}

}  // namespace infernum::jinja
