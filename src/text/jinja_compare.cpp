// Truth, equality, order, membership, iteration and printing of template values, as Python defines them.
#include <charconv>
#include <cmath>
#include <cstring>

#include "text/jinja_value.h"

namespace infernum::jinja {

const char* type_name(const Value& v) {
  static constexpr const char* names[] = {"Undefined", "NoneType", "bool",      "int",      "float",      "str",
                                          "list",      "dict",     "Namespace", "function", "LoopContext"};
  if (auto* list = as<List*>(v)) {
    if ((*list)->kind == ListKind::Tuple) return "tuple";
    if ((*list)->kind == ListKind::Generator) return "generator";
    if ((*list)->kind == ListKind::View) return "dict view";
  }
  return names[v.index()];
}

std::string describe_undefined(const Undefined& u) {
  const std::string name = u.name ? u.name->bytes.substr(0, 200) : std::string("value");
  if (u.owner) return std::string("'") + u.owner + " object' has no attribute '" + name + "'";
  return "'" + name + "' is undefined";
}

bool truthy(const Value& v) {
  if (auto* b = as<bool>(v)) return *b;
  if (auto* i = as<int64_t>(v)) return *i != 0;
  if (auto* d = as<double>(v)) return *d != 0;
  if (auto* s = as<Str>(v)) return !(*s)->empty();
  if (auto* l = as<List*>(v)) return (*l)->kind == ListKind::Generator || !(*l)->items.empty();
  if (auto* d = as<Dict*>(v)) return !(*d)->items().empty();
  return !is_undefined(v) && !is_none(v);
}

namespace {

void guard(Runtime& rt, int depth) {
  rt.step();
  if (depth > rt.limits().nesting) rt.fail("a value nests deeper than " + std::to_string(rt.limits().nesting) + " levels");
}

bool is_number(const Value& v) { return as<bool>(v) || as<int64_t>(v) || as<double>(v); }
int64_t integer(const Value& v) { return as<bool>(v) ? *as<bool>(v) : *as<int64_t>(v); }

template <class T>
int order(const T& a, const T& b) {
  return a < b ? -1 : b < a ? 1 : 0;
}

int compare_numbers(const Value& a, const Value& b) {
  if (!as<double>(a) && !as<double>(b)) return order(integer(a), integer(b));
  auto wide = [](const Value& v) {
    return as<double>(v) ? static_cast<long double>(*as<double>(v)) : static_cast<long double>(integer(v));
  };
  const long double x = wide(a), y = wide(b);
  return std::isnan(x) || std::isnan(y) ? 2 : order(x, y);  // 2: unordered, equal to nothing
}

bool equal_dicts(Runtime& rt, const Dict& a, const Dict& b, int depth) {
  if (a.items().size() != b.items().size()) return false;
  for (auto& [key, value] : a.items()) {
    const Value* other = b.find_key(key_of(rt, key));
    if (!other || !equal(rt, value, *other, depth + 1)) return false;
  }
  return true;
}

}  // namespace

bool equal(Runtime& rt, const Value& a, const Value& b, int depth) {
  guard(rt, depth);
  if (is_number(a) && is_number(b)) return compare_numbers(a, b) == 0;
  if (a.index() != b.index()) return false;
  if (auto* s = as<Str>(a)) {
    rt.step((*s)->size() / 64);
    return (*s)->bytes == (*as<Str>(b))->bytes;
  }
  if (auto* l = as<List*>(a)) {
    const List &x = **l, &y = **as<List*>(b);
    if (&x == &y) return true;
    if (x.kind != y.kind || x.kind == ListKind::Generator || x.items.size() != y.items.size()) return false;
    for (size_t i = 0; i < x.items.size(); i++)
      if (!equal(rt, x.items[i], y.items[i], depth + 1)) return false;
    return true;
  }
  if (auto* d = as<Dict*>(a)) return *d == *as<Dict*>(b) || equal_dicts(rt, **d, **as<Dict*>(b), depth);
  if (auto* n = as<Namespace*>(a)) return *n == *as<Namespace*>(b);
  if (auto* c = as<Callable*>(a)) return *c == *as<Callable*>(b);
  if (auto* l = as<Loop*>(a)) return *l == *as<Loop*>(b);
  return true;  // none and none, undefined and undefined
}

int compare(Runtime& rt, const Value& a, const Value& b, int depth) {
  guard(rt, depth);
  if (is_number(a) && is_number(b)) return compare_numbers(a, b);
  if (auto* x = as<Str>(a), *y = as<Str>(b); x && y) {
    rt.step((*x)->size() / 64);
    return order((*x)->bytes.compare((*y)->bytes), 0);  // byte order of UTF-8 is code point order
  }
  if (auto* x = as<List*>(a), *y = as<List*>(b); x && y && (*x)->kind == (*y)->kind && (*x)->kind <= ListKind::Tuple) {
    const auto &p = (*x)->items, &q = (*y)->items;
    for (size_t i = 0; i < p.size() && i < q.size(); i++)
      if (!equal(rt, p[i], q[i], depth + 1)) return compare(rt, p[i], q[i], depth + 1);
    return order(p.size(), q.size());
  }
  for (auto* v : {&a, &b})
    if (auto* u = as<Undefined>(*v)) rt.fail(describe_undefined(*u));
  rt.fail(std::string("no order between instances of '") + type_name(a) + "' and '" + type_name(b) + "'");
}

bool contains(Runtime& rt, const Value& container, const Value& item) {
  if (auto* s = as<Str>(container)) {
    auto* part = as<Str>(item);
    if (!part) rt.fail(std::string("'in <string>' requires string as left operand, not ") + type_name(item));
    const size_t n = (*s)->size(), m = (*part)->size();
    if (m <= n) rt.step(n / 64 + (n - m + 1) / 64 * m / 64);  // bounds the worst case of a naive search
    return (*s)->bytes.find((*part)->bytes) != std::string::npos;
  }
  if (auto* d = as<Dict*>(container)) return (*d)->find_key(key_of(rt, item)) != nullptr;
  if (auto* l = as<List*>(container); l && (*l)->kind != ListKind::Generator) {
    for (auto& element : (*l)->items)
      if (equal(rt, element, item)) return true;
    return false;
  }
  if (!as<List*>(container) && !is_undefined(container))
    rt.fail(std::string("argument of type '") + type_name(container) + "' is not iterable");
  for (auto& element : elements(rt, container))
    if (equal(rt, element, item)) return true;
  return false;
}

std::string key_of(Runtime& rt, const Value& v, int depth) {
  guard(rt, depth);
  if (auto* s = as<Str>(v)) return 's' + (*s)->bytes;
  if (as<bool>(v) || as<int64_t>(v)) return 'i' + std::to_string(integer(v));
  if (auto* d = as<double>(v)) {
    if (std::abs(*d) < 9e18 && std::floor(*d) == *d) return 'i' + std::to_string(static_cast<int64_t>(*d));
    return 'f' + float_text(*d);
  }
  if (is_none(v)) return "n";
  if (is_undefined(v)) return "u";
  if (auto* l = as<List*>(v)) {
    if ((*l)->kind != ListKind::Tuple) rt.fail(std::string("unhashable type: '") + type_name(v) + "'");
    std::string key = "t";
    for (auto& item : (*l)->items) {
      const std::string part = key_of(rt, item, depth + 1);
      rt.step(part.size() / 64);
      rt.check_string(key.size() + part.size());
      key += std::to_string(part.size()) + ':' + part;
    }
    return key;
  }
  if (as<Dict*>(v)) rt.fail("unhashable type: 'dict'");
  const void* address = std::visit(
      [](auto x) -> const void* {
        if constexpr (std::is_pointer_v<decltype(x)>)
          return x;
        else
          return nullptr;
      },
      v);
  return 'p' + std::to_string(reinterpret_cast<std::uintptr_t>(address));
}

std::string float_text(double x) {
  if (std::isnan(x)) return "nan";
  if (std::isinf(x)) return x < 0 ? "-inf" : "inf";
  char text[40];
  auto end = std::to_chars(text, text + sizeof text, x, std::chars_format::scientific).ptr;
  const std::string_view all(text, static_cast<size_t>(end - text));
  const size_t e = all.find('e');
  const int exponent = std::atoi(std::string(all.substr(e + 1)).c_str());
  if (exponent < -4 || exponent >= 16) return std::string(all);  // Python too writes at least two exponent digits
  end = std::to_chars(text, text + sizeof text, x, std::chars_format::fixed).ptr;
  std::string out(text, end);
  return out.find('.') == std::string::npos ? out + ".0" : out;
}

namespace {

void append_items(Runtime& rt, Text& out, const std::vector<Value>& items, int depth) {
  for (size_t i = 0; i < items.size(); i++) {
    if (i) out.append(", ");
    append_repr(rt, out, items[i], depth + 1);
  }
}

void append_list(Runtime& rt, Text& out, const List& list, int depth) {
  if (list.kind == ListKind::Generator) return out.append("<generator object>");
  const bool tuple = list.kind == ListKind::Tuple;
  out.append(list.kind == ListKind::View ? "dict_view([" : tuple ? "(" : "[");
  append_items(rt, out, list.items, depth);
  if (tuple && list.items.size() == 1) out.append(",");
  out.append(list.kind == ListKind::View ? "])" : tuple ? ")" : "]");
}

}  // namespace

void append_repr(Runtime& rt, Text& out, const Value& v, int depth) {
  guard(rt, depth);
  rt.check_string(out.size());
  if (is_undefined(v))
    out.append("Undefined");
  else if (is_none(v))
    out.append("None");
  else if (auto* b = as<bool>(v))
    out.append(*b ? "True" : "False");
  else if (auto* i = as<int64_t>(v))
    out.append(std::to_string(*i));
  else if (auto* d = as<double>(v))
    out.append(float_text(*d));
  else if (auto* s = as<Str>(v))
    rt.step((*s)->size() / 16), append_quoted(out, **s);
  else if (auto* l = as<List*>(v))
    append_list(rt, out, **l, depth);
  else if (auto* dict = as<Dict*>(v)) {
    out.append("{");
    for (bool first = true; auto& [key, value] : (*dict)->items()) {
      if (!first) out.append(", ");
      first = false;
      append_repr(rt, out, key, depth + 1);
      out.append(": ");
      append_repr(rt, out, value, depth + 1);
    }
    out.append("}");
  } else if (as<Namespace*>(v)) {
    out.append("<Namespace>");
  } else if (auto* c = as<Callable*>(v)) {
    out.append((*c)->kind == Callable::Kind::Macro ? "<Macro '" : "<function '");
    out.append(*(*c)->name);
    out.append("'>");
  } else {
    out.append("<LoopContext>");
  }
}

Text to_text(Runtime& rt, const Value& v) {
  if (auto* s = as<Str>(v)) return **s;
  Text out;
  if (!is_undefined(v)) append_repr(rt, out, v);
  return out;
}

std::vector<Value> elements(Runtime& rt, const Value& v) {
  std::vector<Value> out;
  if (auto* l = as<List*>(v)) {
    rt.step((*l)->items.size() / 8);
    if ((*l)->kind != ListKind::Generator) return (*l)->items;
    return std::exchange((*l)->items, {});
  }
  if (auto* d = as<Dict*>(v)) {
    for (auto& item : (*d)->items()) out.push_back(item.key);
  } else if (auto* s = as<Str>(v)) {
    rt.step((*s)->size());
    Character c;
    for (Characters walk(**s); walk.next(c);) out.emplace_back(rt.text((*s)->slice(c.begin, c.end)));
  } else if (!is_undefined(v)) {
    rt.fail(std::string("'") + type_name(v) + "' object is not iterable");
  }
  return out;
}

int64_t length(Runtime& rt, const Value& v) {
  if (is_undefined(v)) return 0;
  if (auto* s = as<Str>(v)) {
    rt.step((*s)->size() / 64);
    return static_cast<int64_t>(count_characters((*s)->bytes));
  }
  if (auto* l = as<List*>(v); l && (*l)->kind != ListKind::Generator) return static_cast<int64_t>((*l)->items.size());
  if (auto* d = as<Dict*>(v)) return static_cast<int64_t>((*d)->items().size());
  rt.fail(std::string("object of type '") + type_name(v) + "' has no len()");
}

}  // namespace infernum::jinja
