// Global functions of the template language, and the binding of arguments to parameters.
#include <ctime>

#include "text/jinja_library.h"

namespace infernum::jinja {

Bound::Bound(Runtime& rt, std::string_view callee, const Arguments& arguments, std::initializer_list<std::string_view> parameters)
    : rt_(rt), callee_(callee) {
  for (auto name : parameters) parameters_.push_back({name});
  size_t position = 0;
  for (auto& argument : arguments) {
    size_t at = 0;
    if (!argument.name) {
      at = position++;
      if (at >= parameters_.size())
        rt.fail(std::string(callee) + " takes at most " + std::to_string(parameters_.size()) + " arguments, not " +
                std::to_string(arguments.size()));
    } else {
      while (at < parameters_.size() && parameters_[at].name != argument.name->bytes) at++;
      if (at == parameters_.size()) rt.fail(std::string(callee) + " has no parameter '" + argument.name->bytes.substr(0, 60) + "'");
      if (parameters_[at].value) rt.fail(std::string(callee) + " got multiple values for '" + argument.name->bytes + "'");
    }
    parameters_[at].value = &argument.value;
  }
}

const Value& Bound::at(size_t i) const {
  if (!has(i)) rt_.fail(std::string(callee_) + " needs the argument '" + std::string(parameters_[i].name) + "'");
  return *parameters_[i].value;
}

Str Bound::text(size_t i) const {
  const Value& v = at(i);
  if (auto* s = as<Str>(v)) return *s;
  rt_.fail(std::string(callee_) + ": '" + std::string(parameters_[i].name) + "' must be a string, not " + type_name(v));
}

Str Bound::text_or_none(size_t i) const { return !has(i) || is_none(*parameters_[i].value) ? nullptr : text(i); }

int64_t Bound::integer(size_t i) const {
  const Value& v = at(i);
  if (auto* n = as<int64_t>(v)) return *n;
  if (auto* b = as<bool>(v)) return *b;
  rt_.fail(std::string(callee_) + ": '" + std::string(parameters_[i].name) + "' must be an integer, not " + type_name(v));
}

namespace {

Value raise_exception(Runtime& rt, const Arguments& arguments) {
  const Bound bound(rt, "raise_exception", arguments, {"message"});
  rt.refuse(to_text(rt, bound.at(0)).bytes);
}

Value strftime_now(Runtime& rt, const Arguments& arguments) {
  const Str format = Bound(rt, "strftime_now", arguments, {"format"}).text(0);
  const std::time_t now = rt.now();
  std::tm local{};
  if (!localtime_r(&now, &local)) rt.fail("strftime_now: the time is out of range");
  if (format->size() > 1000) rt.fail("strftime_now: the format is too long");
  const std::string marked = format->bytes + ' ';  // never empty, so 0 from strftime means failure
  std::string out(64 * marked.size() + 256, '\0');
  const size_t size = std::strftime(out.data(), out.size(), marked.c_str(), &local);
  if (size == 0) rt.fail("strftime_now: bad format");
  return rt.text(Text(std::string_view(out).substr(0, size - 1), format->has_input()));
}

Value range(Runtime& rt, const Arguments& arguments) {
  const Bound bound(rt, "range", arguments, {"start", "stop", "step"});
  const int64_t begin = bound.has(1) ? bound.integer(0) : 0, end = bound.integer(bound.has(1) ? 1 : 0), by = bound.integer(2, 1);
  if (by == 0) rt.fail("range() step must not be zero");
  std::vector<Value> out;
  for (int64_t i = begin; by > 0 ? i < end : i > end;) {
    if (out.size() >= rt.limits().loop_iterations) rt.fail("range() is longer than " + std::to_string(rt.limits().loop_iterations));
    out.emplace_back(i);
    if (__builtin_add_overflow(i, by, &i)) break;
  }
  return rt.list(std::move(out));
}

/// Keywords, and the items of dicts given as arguments.
template <class Set>
void collect(Runtime& rt, const char* name, const Arguments& arguments, Set set) {
  for (auto& argument : arguments) {
    if (argument.name) {
      set(argument.name, argument.value);
      continue;
    }
    auto* dict = as<Dict*>(argument.value);
    if (!dict) rt.fail(std::string(name) + "() takes keywords and mappings, not " + type_name(argument.value));
    for (auto& [key, value] : (*dict)->items()) set(as<Str>(key) ? *as<Str>(key) : rt.text(to_text(rt, key)), value);
  }
}

Value name_space(Runtime& rt, const Arguments& arguments) {
  Namespace* space = rt.name_space();
  collect(rt, "namespace", arguments, [&](const Str& key, const Value& value) {
    rt.step(space->attributes.size() / 8);
    rt.grow(64);
    for (auto& [known, old] : space->attributes)
      if (known->bytes == key->bytes) {
        old = value;
        return;
      }
    space->attributes.emplace_back(key, value);
  });
  return space;
}

Value make_dict(Runtime& rt, const Arguments& arguments) {
  Dict* dict = rt.dict();
  collect(rt, "dict", arguments, [&](const Str& key, const Value& value) { rt.set(*dict, key, value); });
  return dict;
}

struct Entry {
  std::string_view name;
  Value (*function)(Runtime&, const Arguments&);
};
constexpr Entry function_table[] = {
    {"raise_exception", raise_exception}, {"strftime_now", strftime_now}, {"range", range}, {"namespace", name_space}, {"dict", make_dict},
};

}  // namespace

void for_each_function(void (*visit)(void* context, std::string_view name), void* context) {
  for (auto& entry : function_table) visit(context, entry.name);
}

Value call_function(Runtime& rt, std::string_view name, const Arguments& arguments) {
  for (auto& entry : function_table)
    if (entry.name == name) return entry.function(rt, arguments);
  rt.fail(std::string(name) + " cannot be called here");
}

}  // namespace infernum::jinja
