// Methods of dicts, lists and loops.
#include <algorithm>

#include "text/jinja_library.h"

namespace infernum::jinja {
namespace {

bool one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Value absent_key(Runtime& rt, const Value& key) {
  Text text;
  append_repr(rt, text, key);
  rt.fail("no such key: " + text.bytes.substr(0, 200));
}

Value take(Runtime& rt, Dict& dict, const Value& key, const Value* otherwise) {
  const std::string canonical = key_of(rt, key);
  const Value* found = dict.find_key(canonical);
  if (!found) return otherwise ? *otherwise : absent_key(rt, key);
  Value out = *found;
  rt.step(dict.items().size() / 2);
  dict.erase(canonical);
  return out;
}

void update(Runtime& rt, Dict& dict, const Arguments& arguments) {
  for (auto& argument : arguments) {
    if (argument.name) {
      rt.set(dict, argument.name, argument.value);
    } else if (auto* other = as<Dict*>(argument.value)) {
      const auto items = (*other)->items();  // a copy: a dict may be updated from itself
      for (auto& [key, value] : items) rt.step(), rt.set(dict, key, value);
    } else {
      for (auto& pair : elements(rt, argument.value)) {
        const auto parts = elements(rt, pair);
        if (parts.size() != 2) rt.fail("update() needs pairs of key and value");
        rt.set(dict, parts[0], parts[1]);
      }
    }
  }
}

Value dict_view(Runtime& rt, const Dict& dict, std::string_view name) {
  std::vector<Value> out;
  for (auto& item : dict.items()) {
    if (name == "keys")
      out.push_back(item.key);
    else if (name == "values")
      out.push_back(item.value);
    else
      out.emplace_back(rt.list({item.key, item.value}, ListKind::Tuple));
  }
  return rt.list(std::move(out), ListKind::View);
}

Value call_dict(Runtime& rt, Dict& dict, std::string_view name, const Arguments& arguments) {
  if (one_of(name, {"items", "keys", "values"})) {
    const Bound none(rt, name, arguments, {});
    return dict_view(rt, dict, name);
  }
  if (name == "get") {
    const Bound bound(rt, name, arguments, {"key", "default"});
    const Value* found = dict.find_key(key_of(rt, bound.at(0)));
    return found ? *found : bound.has(1) ? bound.at(1) : Value(None{});
  }
  if (name == "pop") {
    const Bound bound(rt, name, arguments, {"key", "default"});
    return take(rt, dict, bound.at(0), bound.has(1) ? &bound.at(1) : nullptr);
  }
  if (name == "setdefault") {
    const Bound bound(rt, name, arguments, {"key", "default"});
    if (const Value* found = dict.find_key(key_of(rt, bound.at(0)))) return *found;
    rt.set(dict, bound.at(0), bound.has(1) ? bound.at(1) : Value(None{}));
    return bound.has(1) ? bound.at(1) : Value(None{});
  }
  if (name == "update") return update(rt, dict, arguments), None{};
  const Bound none(rt, name, arguments, {});
  if (name == "copy") {
    Dict* copy = rt.dict();
    for (auto& item : dict.items()) rt.set(*copy, item.key, item.value);
    return copy;
  }
  if (name == "clear") return dict.clear(), None{};
  if (dict.items().empty()) rt.fail("popitem(): dictionary is empty");
  const auto item = dict.items().back();
  dict.erase(key_of(rt, item.key));
  return rt.list({item.key, item.value}, ListKind::Tuple);
}

Value find_in(Runtime& rt, const std::vector<Value>& items, std::string_view name, const Value& wanted) {
  int64_t n = 0;
  for (size_t i = 0; i < items.size(); i++) {
    if (!equal(rt, items[i], wanted)) continue;
    if (name == "index") return static_cast<int64_t>(i);
    n++;
  }
  if (name == "index") rt.fail("the value is not in the list");
  return n;
}

size_t clamped(int64_t at, size_t size) {
  if (at < 0) at = std::max<int64_t>(0, at + static_cast<int64_t>(size));
  return std::min(static_cast<size_t>(at), size);
}

Value change_list(Runtime& rt, List& list, std::string_view name, const Arguments& arguments) {
  auto& items = list.items;
  if (name == "append") return rt.append(list, Bound(rt, name, arguments, {"object"}).at(0)), None{};
  if (name == "extend") {
    for (auto& item : elements(rt, Bound(rt, name, arguments, {"iterable"}).at(0))) rt.append(list, item);
    return None{};
  }
  rt.step(items.size() / 8);
  if (name == "insert") {
    const Bound bound(rt, name, arguments, {"index", "object"});
    const size_t at = clamped(bound.integer(0), items.size());
    rt.append(list, bound.at(1));
    std::rotate(items.begin() + static_cast<std::ptrdiff_t>(at), items.end() - 1, items.end());
    return None{};
  }
  if (name == "pop") {
    int64_t at = Bound(rt, name, arguments, {"index"}).integer(0, -1);
    if (at < 0) at += static_cast<int64_t>(items.size());
    if (at < 0 || at >= static_cast<int64_t>(items.size())) rt.fail("pop index out of range");
    Value out = items[static_cast<size_t>(at)];
    items.erase(items.begin() + at);
    return out;
  }
  if (name == "remove") {
    const Bound bound(rt, name, arguments, {"value"});
    items.erase(items.begin() + *as<int64_t>(find_in(rt, items, "index", bound.at(0))));
    return None{};
  }
  if (name == "sort") {
    const Value sorted = apply_filter(rt, "sort", Value(&list), [&] {
      Arguments all = arguments;
      all.push_back({rt.text("case_sensitive"), true});
      return all;
    }());
    items = (*as<List*>(sorted))->items;
    return None{};
  }
  const Bound none(rt, name, arguments, {});
  if (name == "reverse")
    std::reverse(items.begin(), items.end());
  else
    items.clear();
  return None{};
}

Value call_list(Runtime& rt, List& list, std::string_view name, const Arguments& arguments) {
  if (name == "index" || name == "count") return find_in(rt, list.items, name, Bound(rt, name, arguments, {"value"}).at(0));
  if (name != "copy") return change_list(rt, list, name, arguments);
  const Bound none(rt, name, arguments, {});
  return rt.list(list.items);
}

Value call_loop(Runtime& rt, Loop& loop, std::string_view name, const Arguments& arguments) {
  if (name == "cycle") {
    if (arguments.empty()) rt.fail("loop.cycle() needs values to cycle through");
    return arguments[loop.index % arguments.size()].value;
  }
  std::vector<Value> values;
  for (auto& argument : arguments) values.push_back(argument.value);
  const Value now = rt.list(std::move(values), ListKind::Tuple);
  const bool same = !is_undefined(loop.last_changed) && equal(rt, now, loop.last_changed);
  loop.last_changed = now;
  return !same;
}

}  // namespace

bool has_method(const Runtime& rt, const Value& object, std::string_view name) {
  const bool may_change = rt.dialect() == Dialect::Extended;
  if (as<Str>(object)) return has_text_method(name);
  if (as<Dict*>(object))
    return one_of(name, {"items", "get", "keys", "values", "copy"}) ||
           (may_change && one_of(name, {"update", "pop", "setdefault", "clear", "popitem"}));
  if (auto* list = as<List*>(object)) {
    if ((*list)->kind > ListKind::Tuple) return false;
    if (one_of(name, {"index", "count"})) return true;
    if ((*list)->kind == ListKind::Tuple) return false;
    return name == "copy" || (may_change && one_of(name, {"append", "pop", "extend", "insert", "remove", "reverse", "sort", "clear"}));
  }
  return as<Loop*>(object) && one_of(name, {"cycle", "changed"});
}

Value call_method(Runtime& rt, const Value& object, std::string_view name, const Arguments& arguments) {
  if (auto* s = as<Str>(object)) return call_text_method(rt, *s, name, arguments);
  if (auto* dict = as<Dict*>(object)) return call_dict(rt, **dict, name, arguments);
  if (auto* list = as<List*>(object)) return call_list(rt, **list, name, arguments);
  return call_loop(rt, **as<Loop*>(object), name, arguments);
}

}  // namespace infernum::jinja
