// Arithmetic, comparison operators, attributes, positions and slices.
#include <cmath>

#include "text/jinja_library.h"

namespace infernum::jinja {
namespace {

bool whole(const Value& v) { return as<int64_t>(v) || as<bool>(v); }
int64_t integer(const Value& v) { return as<bool>(v) ? *as<bool>(v) : *as<int64_t>(v); }
double real(const Value& v) { return as<double>(v) ? *as<double>(v) : static_cast<double>(integer(v)); }
bool numeric(const Value& v) { return whole(v) || as<double>(v); }

[[noreturn]] void unsupported(Runtime& rt, const char* op, const Value& a, const Value& b) {
  for (auto* v : {&a, &b})
    if (auto* u = as<Undefined>(*v)) rt.fail(describe_undefined(*u));
  rt.fail(std::string("unsupported operand types for ") + op + ": '" + type_name(a) + "' and '" + type_name(b) + "'");
}

Value repeat(Runtime& rt, const Value& what, int64_t count) {
  const size_t n = count > 0 ? static_cast<size_t>(count) : 0;
  if (auto* s = as<Str>(what)) {
    if (n && (*s)->size() > rt.limits().string_bytes / n) rt.check_string(SIZE_MAX);
    Text out;
    out.markup = (*s)->markup;
    if (!(*s)->empty())
      for (size_t i = 0; i < n; i++) out.append(**s);
    return rt.text(std::move(out));
  }
  const List& list = **as<List*>(what);
  if (n && list.items.size() > rt.limits().loop_iterations / n)
    rt.fail("a list would exceed " + std::to_string(rt.limits().loop_iterations) + " elements");
  std::vector<Value> out;
  if (!list.items.empty())
    for (size_t i = 0; i < n; i++) out.insert(out.end(), list.items.begin(), list.items.end());
  return rt.list(std::move(out), list.kind);
}

bool repeatable(const Value& v) {
  auto* list = as<List*>(v);
  return as<Str>(v) || (list && (*list)->kind <= ListKind::Tuple);
}

int64_t floor_divide(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

Value power(Runtime& rt, const Value& a, const Value& b) {
  if (!whole(a) || !whole(b) || integer(b) < 0) {
    const double x = real(a), y = real(b);
    if (x == 0 && y < 0) rt.fail("zero cannot be raised to a negative power");
    if (x < 0 && std::floor(y) != y) rt.fail("a negative number cannot be raised to a fractional power");
    return std::pow(x, y);
  }
  int64_t result = 1, base = integer(a), exponent = integer(b);
  if (exponent > 64 && (base < -1 || base > 1)) rt.fail("integer overflow");
  exponent = exponent > 64 ? 64 + exponent % 2 : exponent;  // of -1, 0 and 1 only the parity counts
  for (; exponent > 0; exponent--)
    if (__builtin_mul_overflow(result, base, &result)) rt.fail("integer overflow");
  return result;
}

Value integer_arithmetic(Runtime& rt, Operator op, int64_t a, int64_t b) {
  int64_t out = 0;
  bool overflow = false;
  switch (op) {
    case Operator::Add: overflow = __builtin_add_overflow(a, b, &out); break;
    case Operator::Subtract: overflow = __builtin_sub_overflow(a, b, &out); break;
    case Operator::Multiply: overflow = __builtin_mul_overflow(a, b, &out); break;
    default:
      if (b == 0) rt.fail("division by zero");
      if (op == Operator::Divide) return static_cast<double>(a) / static_cast<double>(b);
      if (b == -1)
        overflow = op == Operator::FloorDivide && __builtin_sub_overflow(int64_t{0}, a, &out);
      else
        out = op == Operator::FloorDivide ? floor_divide(a, b) : a - b * floor_divide(a, b);
  }
  if (overflow) rt.fail("integer overflow");
  return out;
}

Value real_arithmetic(Runtime& rt, Operator op, double a, double b) {
  switch (op) {
    case Operator::Add: return a + b;
    case Operator::Subtract: return a - b;
    case Operator::Multiply: return a * b;
    default: break;
  }
  if (b == 0) rt.fail("division by zero");
  if (op == Operator::Divide) return a / b;
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  return op == Operator::Modulo ? rest : std::round((a - rest) / b);
}

Value add_containers(Runtime& rt, const Value& a, const Value& b) {
  if (auto* x = as<Str>(a), *y = as<Str>(b); x && y) {
    rt.check_string((*x)->size() + (*y)->size());
    Text out;
    out.bytes.reserve((*x)->size() + (*y)->size());
    out.markup = (*x)->markup || (*y)->markup;
    out.append(out.markup ? escape_html(**x) : **x);
    out.append(out.markup ? escape_html(**y) : **y);
    return rt.text(std::move(out));
  }
  if (auto* x = as<List*>(a), *y = as<List*>(b); x && y && (*x)->kind == (*y)->kind && (*x)->kind <= ListKind::Tuple) {
    std::vector<Value> out = (*x)->items;
    out.insert(out.end(), (*y)->items.begin(), (*y)->items.end());
    return rt.list(std::move(out), (*x)->kind);
  }
  unsupported(rt, "+", a, b);
}

}  // namespace

Value arithmetic(Runtime& rt, Operator op, const Value& a, const Value& b) {
  static constexpr const char* signs[] = {"+", "-", "*", "/", "//", "%", "**"};
  if (op == Operator::Modulo && as<Str>(a)) {
    Arguments arguments;
    auto* tuple = as<List*>(b);
    if (tuple && (*tuple)->kind == ListKind::Tuple)
      for (auto& item : (*tuple)->items) arguments.push_back({nullptr, item});
    else
      arguments.push_back({nullptr, b});
    const Text& format = **as<Str>(a);
    for (auto& argument : arguments)
      if (auto* s = as<Str>(argument.value); s && format.markup) argument.value = rt.text(escape_html(**s));
    Text out = format_percent(rt, format, arguments);
    out.markup = format.markup;
    return rt.text(std::move(out));
  }
  if (numeric(a) && numeric(b)) {
    if (op == Operator::Power) return power(rt, a, b);
    return whole(a) && whole(b) ? integer_arithmetic(rt, op, integer(a), integer(b)) : real_arithmetic(rt, op, real(a), real(b));
  }
  if (op == Operator::Add) return add_containers(rt, a, b);
  if (op == Operator::Multiply && repeatable(a) && whole(b)) return repeat(rt, a, integer(b));
  if (op == Operator::Multiply && repeatable(b) && whole(a)) return repeat(rt, b, integer(a));
  unsupported(rt, signs[static_cast<int>(op)], a, b);
}

Value negative(Runtime& rt, const Value& v, bool negate) {
  if (auto* d = as<double>(v)) return negate ? -*d : *d;
  if (!whole(v)) {
    if (auto* u = as<Undefined>(v)) rt.fail(describe_undefined(*u));
    rt.fail(std::string("bad operand type for unary ") + (negate ? "-" : "+") + ": '" + type_name(v) + "'");
  }
  return negate ? integer_arithmetic(rt, Operator::Subtract, 0, integer(v)) : Value(integer(v));
}

bool test_compare(Runtime& rt, Operator op, const Value& a, const Value& b) {
  switch (op) {
    case Operator::Equal: return equal(rt, a, b);
    case Operator::NotEqual: return !equal(rt, a, b);
    case Operator::Less: return compare(rt, a, b) < 0;
    case Operator::LessEqual: return compare(rt, a, b) <= 0;
    case Operator::Greater: return compare(rt, a, b) == 1;
    case Operator::GreaterEqual: {
      const int order = compare(rt, a, b);
      return order == 0 || order == 1;
    }
    case Operator::In: return contains(rt, b, a);
    default: return !contains(rt, b, a);
  }
}

namespace {

const char* owner_name(const Value& v) { return is_none(v) ? "None" : type_name(v); }

Value missing(Runtime& rt, const Value& object, const Value& key) {
  auto* name = as<Str>(key);
  return Undefined{name ? *name : rt.text(to_text(rt, key)), owner_name(object)};
}

/// What `object.name` finds before keys: methods and the attributes of the interpreter's own objects.
std::optional<Value> own_attribute(Runtime& rt, const Value& object, const Str& name) {
  if (auto* u = as<Undefined>(object)) rt.fail(describe_undefined(*u));
  if (has_method(rt, object, name->bytes)) return rt.callable({Callable::Kind::Method, name, object});
  if (auto* space = as<Namespace*>(object)) {
    for (auto& [known, value] : (*space)->attributes)
      if (known->bytes == name->bytes) return value;
  }
  if (auto* macro = as<Callable*>(object); macro && name->bytes == "name") return (*macro)->name;
  if (auto* loop = as<Loop*>(object)) {
    const Loop& l = **loop;
    const auto size = static_cast<int64_t>(l.items->items.size()), index = static_cast<int64_t>(l.index);
    const std::string& n = name->bytes;
    if (n == "index") return index + 1;
    if (n == "index0") return index;
    if (n == "first") return index == 0;
    if (n == "last") return index + 1 >= size;
    if (n == "length") return size;
    if (n == "revindex") return size - index;
    if (n == "revindex0") return size - index - 1;
    if (n == "depth") return int64_t{l.depth} + 1;
    if (n == "depth0") return int64_t{l.depth};
    if (n == "previtem") return index > 0 && index <= size ? l.items->items[l.index - 1] : Value(Undefined{name});
    if (n == "nextitem") return index + 1 < size ? l.items->items[l.index + 1] : Value(Undefined{name});
  }
  return std::nullopt;
}

std::optional<size_t> position(int64_t index, size_t size) {
  if (index < 0) index += static_cast<int64_t>(size);
  if (index < 0 || index >= static_cast<int64_t>(size)) return std::nullopt;
  return static_cast<size_t>(index);
}

std::optional<Value> element(Runtime& rt, const Value& object, const Value& key) {
  if (auto* dict = as<Dict*>(object)) {
    if (auto* list = as<List*>(key); as<Dict*>(key) || (list && (*list)->kind != ListKind::Tuple)) return std::nullopt;
    auto* name = as<Str>(key);
    const Value* found = name ? (*dict)->find((*name)->bytes) : (*dict)->find_key(key_of(rt, key));
    return found ? std::optional<Value>(*found) : std::nullopt;
  }
  if (!whole(key)) return std::nullopt;
  if (auto* list = as<List*>(object); list && (*list)->kind <= ListKind::Tuple) {
    const auto at = position(integer(key), (*list)->items.size());
    return at ? std::optional<Value>((*list)->items[*at]) : std::nullopt;
  }
  if (auto* s = as<Str>(object)) {
    rt.step((*s)->size() / 8);
    const auto offsets = character_offsets((*s)->bytes);
    const auto at = position(integer(key), offsets.size() - 1);
    if (!at) return std::nullopt;
    Text character = (*s)->slice(offsets[*at], offsets[*at + 1]);
    character.markup = (*s)->markup;
    return rt.text(std::move(character));
  }
  return std::nullopt;
}

}  // namespace

Value attribute(Runtime& rt, const Value& object, const Str& name) {
  if (auto own = own_attribute(rt, object, name)) return *own;
  if (auto* dict = as<Dict*>(object))
    if (const Value* found = (*dict)->find(name->bytes)) return *found;
  return Undefined{name, owner_name(object)};
}

Value subscript(Runtime& rt, const Value& object, const Value& key) {
  if (auto* u = as<Undefined>(object)) rt.fail(describe_undefined(*u));
  if (auto found = element(rt, object, key)) return *found;
  if (auto* name = as<Str>(key))
    if (auto own = own_attribute(rt, object, *name)) return *own;
  return missing(rt, object, key);
}

Value attribute_path(Runtime& rt, const Value& object, const Value& path) {
  auto* text = as<Str>(path);
  if (!text) return subscript(rt, object, path);
  Value at = object;
  const Text dot(".");
  for (auto& part : split(**text, &dot, -1)) {
    const bool digits = !part.empty() && part.size() < 10 && part.bytes.find_first_not_of("0123456789") == std::string::npos;
    at = subscript(rt, at, digits ? Value(int64_t{std::stoi(part.bytes)}) : Value(rt.text(part)));
  }
  return at;
}

Value slice(Runtime& rt, const Value& object, const Value& begin, const Value& end, const Value& step) {
  auto* list = as<List*>(object);
  auto* text = as<Str>(object);
  if (auto* u = as<Undefined>(object)) rt.fail(describe_undefined(*u));
  if (!text && !(list && (*list)->kind <= ListKind::Tuple)) return Undefined{rt.text("slice"), owner_name(object)};
  for (auto* bound : {&begin, &end, &step})
    if (!is_none(*bound) && !whole(*bound)) return Undefined{rt.text("slice"), owner_name(object)};
  std::vector<size_t> offsets;
  if (text) {
    rt.step((*text)->size() / 8);
    offsets = character_offsets((*text)->bytes);
  }
  const auto size = static_cast<int64_t>(text ? offsets.size() - 1 : (*list)->items.size());
  const int64_t by = is_none(step) ? 1 : integer(step);
  if (by == 0) rt.fail("slice step cannot be zero");
  auto clamp = [&](const Value& v, int64_t otherwise) {
    if (is_none(v)) return otherwise;
    int64_t at = integer(v);
    if (at < 0)
      at = at < -size ? -1 : at + size;
    else
      return std::min(at, by > 0 ? size : size - 1);
    return at < 0 ? (by > 0 ? int64_t{0} : int64_t{-1}) : at;
  };
  const int64_t first = clamp(begin, by > 0 ? 0 : size - 1), last = clamp(end, by > 0 ? size : -1);
  Text characters;
  if (text && by == 1) {
    const auto from = static_cast<size_t>(first), to = static_cast<size_t>(last);
    if (first < last) characters = (*text)->slice(offsets[from], offsets[to]);
    characters.markup = (*text)->markup;
    return rt.text(std::move(characters));
  }
  std::vector<Value> items;
  for (int64_t i = first; by > 0 ? i < last : i > last;) {
    const auto at = static_cast<size_t>(i);
    if (text)
      characters.append(**text, offsets[at], offsets[at + 1]);
    else
      items.push_back((*list)->items[at]);
    if (__builtin_add_overflow(i, by, &i)) break;
  }
  if (text) characters.markup = (*text)->markup;
  if (text) return rt.text(std::move(characters));
  return rt.list(std::move(items), (*list)->kind);
}

}  // namespace infernum::jinja
