// Filters on lists, dicts and other iterables.
#include <algorithm>
#include <unordered_set>

#include "text/jinja_library.h"

namespace infernum::jinja {
namespace {

/// Text compares without case unless asked otherwise.
Value fold(Runtime& rt, const Value& v, bool case_sensitive) {
  auto* s = as<Str>(v);
  return s && !case_sensitive ? Value(rt.text(to_case(**s, Case::Lower))) : v;
}

Value pick(Runtime& rt, const Value& v, const Bound& bound, size_t attribute) {
  return bound.has(attribute) && !is_none(bound.at(attribute)) ? attribute_path(rt, v, bound.at(attribute)) : v;
}

Value first(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound none(rt, "first", arguments, {});
  if (auto* list = as<List*>(v); list && (*list)->kind != ListKind::Generator)
    return (*list)->items.empty() ? Value(Undefined{rt.text("first item of an empty sequence")}) : (*list)->items[0];
  const auto items = elements(rt, v);
  return items.empty() ? Value(Undefined{rt.text("first item of an empty sequence")}) : items[0];
}

Value last(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound none(rt, "last", arguments, {});
  if (auto* list = as<List*>(v); list && (*list)->kind == ListKind::Generator) rt.fail("'generator' object is not reversible");
  const auto items = elements(rt, v);
  return items.empty() ? Value(Undefined{rt.text("last item of an empty sequence")}) : items.back();
}

Value list(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound none(rt, "list", arguments, {});
  return rt.list(elements(rt, v));
}

Value join(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound bound(rt, "join", arguments, {"d", "attribute"});
  const Text separator = bound.has(0) ? to_text(rt, bound.at(0)) : Text();
  Text out;
  bool begun = false;
  for (auto& item : elements(rt, v)) {
    if (begun) out.append(separator);
    begun = true;
    const Value picked = pick(rt, item, bound, 1);
    if (auto* s = as<Str>(picked))
      out.append(**s);
    else
      out.append(to_text(rt, picked));
    rt.check_string(out.size());
  }
  return rt.text(std::move(out));
}

Value pairs(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound none(rt, "items", arguments, {});
  std::vector<Value> out;
  if (auto* dict = as<Dict*>(v)) {
    for (auto& item : (*dict)->items()) out.emplace_back(rt.list({item.key, item.value}, ListKind::Tuple));
  } else if (!is_undefined(v)) {
    rt.fail("can only get item pairs from a mapping");
  }
  return rt.list(std::move(out), ListKind::Generator);
}

Value reverse(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound none(rt, "reverse", arguments, {});
  if (as<Str>(v)) return slice(rt, v, None{}, None{}, int64_t{-1});
  auto items = elements(rt, v);
  std::reverse(items.begin(), items.end());
  return rt.list(std::move(items), ListKind::Generator);
}

void sort_by(Runtime& rt, std::vector<std::pair<Value, Value>>& keyed, bool reverse) {
  auto less = [&](auto& a, auto& b) { return compare(rt, a.first, b.first) < 0; };
  // A merge sort asks every element, so that values without an order are an error in any arrangement.
  if (reverse) std::reverse(keyed.begin(), keyed.end());
  std::stable_sort(keyed.begin(), keyed.end(), less);
  if (reverse) std::reverse(keyed.begin(), keyed.end());
}

Value sorted(Runtime& rt, std::vector<std::pair<Value, Value>> keyed, bool reverse) {
  sort_by(rt, keyed, reverse);
  std::vector<Value> out;
  for (auto& [key, value] : keyed) out.push_back(std::move(value));
  return rt.list(std::move(out));
}

Value sort(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound bound(rt, "sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const bool case_sensitive = bound.flag(1, false);
  std::vector<std::pair<Value, Value>> keyed;
  for (auto& item : elements(rt, v)) {
    Value key;
    if (bound.has(2) && as<Str>(bound.at(2)) && bound.text(2)->bytes.find(',') != std::string::npos) {
      const Text comma(",");
      std::vector<Value> parts;
      for (auto& name : split(*bound.text(2), &comma, -1))
        parts.push_back(fold(rt, attribute_path(rt, item, rt.text(strip(name, nullptr, true, true))), case_sensitive));
      key = rt.list(std::move(parts), ListKind::Tuple);
    } else {
      key = fold(rt, pick(rt, item, bound, 2), case_sensitive);
    }
    keyed.emplace_back(std::move(key), item);
  }
  return sorted(rt, std::move(keyed), bound.flag(0, false));
}

Value dictsort(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound bound(rt, "dictsort", arguments, {"case_sensitive", "by", "reverse"});
  auto* dict = as<Dict*>(v);
  if (!dict) rt.fail(std::string("dictsort needs a mapping, not ") + type_name(v));
  const std::string by = bound.has(1) ? bound.text(1)->bytes : "key";
  if (by != "key" && by != "value") rt.fail("dictsort: `by` must be 'key' or 'value'");
  std::vector<std::pair<Value, Value>> keyed;
  for (auto& [key, value] : (*dict)->items())
    keyed.emplace_back(fold(rt, by == "key" ? key : value, bound.flag(0, false)), rt.list({key, value}, ListKind::Tuple));
  return sorted(rt, std::move(keyed), bound.flag(2, false));
}

Value unique(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound bound(rt, "unique", arguments, {"case_sensitive", "attribute"});
  std::unordered_set<std::string> seen;
  std::vector<Value> out;
  for (auto& item : elements(rt, v))
    if (seen.insert(key_of(rt, fold(rt, pick(rt, item, bound, 1), bound.flag(0, false)))).second) out.push_back(item);
  return rt.list(std::move(out), ListKind::Generator);
}

Value extreme(Runtime& rt, const Value& v, const Arguments& arguments, const char* name, int wanted) {
  const Bound bound(rt, name, arguments, {"case_sensitive", "attribute"});
  Value best = Undefined{rt.text("item of an empty sequence")}, best_key;
  bool begun = false;
  for (auto& item : elements(rt, v)) {
    Value key = fold(rt, pick(rt, item, bound, 1), bound.flag(0, false));
    if (begun && compare(rt, key, best_key) != wanted) continue;
    begun = true;
    best = item;
    best_key = std::move(key);
  }
  return best;
}
Value minimum(Runtime& rt, const Value& v, const Arguments& arguments) { return extreme(rt, v, arguments, "min", -1); }
Value maximum(Runtime& rt, const Value& v, const Arguments& arguments) { return extreme(rt, v, arguments, "max", 1); }

Value sum(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound bound(rt, "sum", arguments, {"attribute", "start"});
  Value total = bound.has(1) ? bound.at(1) : Value(int64_t{0});
  if (as<Str>(total)) rt.fail("sum() cannot sum strings: use join");
  for (auto& item : elements(rt, v)) total = arithmetic(rt, Operator::Add, total, pick(rt, item, bound, 0));
  return total;
}

Value group_by(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound bound(rt, "groupby", arguments, {"attribute", "default", "case_sensitive"});
  std::vector<std::pair<Value, Value>> keyed;
  std::vector<Value> names;
  for (auto& item : elements(rt, v)) {
    Value name = attribute_path(rt, item, bound.at(0));
    if (is_undefined(name) && bound.has(1)) name = bound.at(1);
    keyed.emplace_back(fold(rt, name, bound.flag(2, false)), rt.list({name, item}, ListKind::Tuple));
  }
  sort_by(rt, keyed, false);
  std::vector<Value> out;
  for (size_t i = 0; i < keyed.size();) {
    const auto& head = (*as<List*>(keyed[i].second))->items;
    List* group = rt.list({});
    size_t end = i;
    for (; end < keyed.size() && equal(rt, keyed[end].first, keyed[i].first); end++)
      rt.append(*group, (*as<List*>(keyed[end].second))->items[1]);
    end = std::max(end, i + 1);  // not even equal to itself (nan)
    out.emplace_back(rt.list({head[0], group}, ListKind::Tuple));
    i = end;
  }
  return rt.list(std::move(out));
}

size_t positive(Runtime& rt, const Bound& bound, const char* name) {
  const int64_t n = bound.integer(0);
  if (n < 1 || n > static_cast<int64_t>(rt.limits().loop_iterations)) rt.fail(std::string(name) + ": bad count " + std::to_string(n));
  return static_cast<size_t>(n);
}

Value batch(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound bound(rt, "batch", arguments, {"linecount", "fill_with"});
  const size_t size = positive(rt, bound, "batch");
  std::vector<Value> out;
  for (auto& item : elements(rt, v)) {
    if (out.empty() || (*as<List*>(out.back()))->items.size() == size) out.emplace_back(rt.list({}));
    rt.append(**as<List*>(out.back()), item);
  }
  if (!out.empty() && bound.has(1) && !is_none(bound.at(1)))
    for (List* rest = *as<List*>(out.back()); rest->items.size() < size;) rt.append(*rest, bound.at(1));
  return rt.list(std::move(out), ListKind::Generator);
}

Value slices(Runtime& rt, const Value& v, const Arguments& arguments) {
  const Bound bound(rt, "slice", arguments, {"slices", "fill_with"});
  const size_t count = positive(rt, bound, "slice");
  const auto items = elements(rt, v);
  const size_t each = items.size() / count, extra = items.size() % count;
  std::vector<Value> out;
  size_t at = 0;
  for (size_t i = 0; i < count; i++) {
    rt.step();
    List* part = rt.list({});
    for (size_t end = at + each + (i < extra); at < end; at++) rt.append(*part, items[at]);
    if (bound.has(1) && !is_none(bound.at(1)) && i >= extra) rt.append(*part, bound.at(1));
    out.emplace_back(part);
  }
  return rt.list(std::move(out), ListKind::Generator);
}

/// map, select and their kind do not even look at a false value: none yields nothing here, and is an error elsewhere.
std::vector<Value> elements_if_true(Runtime& rt, const Value& v) { return truthy(v) ? elements(rt, v) : std::vector<Value>(); }

Value map(Runtime& rt, const Value& v, const Arguments& arguments) {
  std::vector<Value> out;
  if (!arguments.empty() && arguments[0].name) {
    const Bound bound(rt, "map", arguments, {"attribute", "default"});
    for (auto& item : elements_if_true(rt, v)) {
      Value picked = attribute_path(rt, item, bound.at(0));
      if (is_undefined(picked) && bound.has(1)) picked = bound.at(1);
      out.push_back(std::move(picked));
    }
    return rt.list(std::move(out), ListKind::Generator);
  }
  if (arguments.empty() || !as<Str>(arguments[0].value)) rt.fail("map needs the name of a filter, or attribute=...");
  const Arguments rest(arguments.begin() + 1, arguments.end());
  for (auto& item : elements_if_true(rt, v)) {
    rt.step();
    out.push_back(apply_filter(rt, (*as<Str>(arguments[0].value))->bytes, item, rest));
  }
  return rt.list(std::move(out), ListKind::Generator);
}

/// select, reject (the items themselves) and selectattr, rejectattr (one of their attributes): [attribute,] test, arguments.
Value choose(Runtime& rt, const Value& v, const Arguments& arguments, bool by_attribute, bool keep) {
  if (by_attribute && arguments.empty()) rt.fail("selectattr and rejectattr need an attribute");
  const size_t at = by_attribute ? 1 : 0;
  const Str* test = nullptr;
  Arguments rest;
  if (arguments.size() > at) {
    test = as<Str>(arguments[at].value);
    if (!test || arguments[at].name) rt.fail("select and reject need the name of a test");
    rest.assign(arguments.begin() + static_cast<std::ptrdiff_t>(at) + 1, arguments.end());
  }
  std::vector<Value> out;
  for (auto& item : elements_if_true(rt, v)) {
    rt.step();
    const Value subject = by_attribute ? attribute_path(rt, item, arguments[0].value) : item;
    if ((test ? apply_test(rt, (*test)->bytes, subject, rest) : truthy(subject)) == keep) out.push_back(item);
  }
  return rt.list(std::move(out), ListKind::Generator);
}
Value select(Runtime& rt, const Value& v, const Arguments& arguments) { return choose(rt, v, arguments, false, true); }
Value reject(Runtime& rt, const Value& v, const Arguments& arguments) { return choose(rt, v, arguments, false, false); }
Value select_attribute(Runtime& rt, const Value& v, const Arguments& arguments) { return choose(rt, v, arguments, true, true); }
Value reject_attribute(Runtime& rt, const Value& v, const Arguments& arguments) { return choose(rt, v, arguments, true, false); }

struct Entry {
  std::string_view name;
  Filter filter;
};
constexpr Entry filter_table[] = {
    {"first", first},
    {"last", last},
    {"list", list},
    {"join", join},
    {"items", pairs},
    {"sort", sort},
    {"dictsort", dictsort},
    {"unique", unique},
    {"min", minimum},
    {"max", maximum},
    {"sum", sum},
    {"groupby", group_by},
    {"batch", batch},
    {"slice", slices},
    {"map", map},
    {"select", select},
    {"reject", reject},
    {"reverse", reverse},
    {"selectattr", select_attribute},
    {"rejectattr", reject_attribute},
};

}  // namespace

Filter find_sequence_filter(std::string_view name) {
  for (auto& entry : filter_table)
    if (entry.name == name) return entry.filter;
  return nullptr;
}

}  // namespace infernum::jinja
