#include "runtime/faults.h"

#include <charconv>
#include <cstdlib>
#include <string>

#include "core/check.h"

namespace infernum {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0;; begin++) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end;
    if (end == text.size()) return parts;
  }
}

/// Digits at the beginning of `text`, which are taken off it.
uint64_t take_number(std::string_view& text, std::string_view hook) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  check(error == std::errc() && number > 0 && number <= 1'000'000'000, "faults: a number is positive", hook);
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

struct Known {
  std::string_view place, action;
  Faults::Place at;
  Faults::Action does;
};
constexpr Known known[] = {
    {"step", "throw", Faults::Place::Step, Faults::Action::Throw},       {"step", "nan", Faults::Place::Step, Faults::Action::Nan},
    {"step", "oom", Faults::Place::Step, Faults::Action::Oom},           {"step", "sleep", Faults::Place::Step, Faults::Action::Sleep},
    {"step", "lost", Faults::Place::Step, Faults::Action::Lost},         {"step", "die", Faults::Place::Step, Faults::Action::Die},
    {"request", "throw", Faults::Place::Request, Faults::Action::Throw}, {"request", "nan", Faults::Place::Request, Faults::Action::Nan},
    {"request", "oom", Faults::Place::Request, Faults::Action::Oom},     {"submit", "full", Faults::Place::Submit, Faults::Action::Full},
};

}  // namespace

Faults::Hook Faults::parse_hook(std::string_view text) {
  const auto parts = split(text, ':');
  check(parts.size() >= 3, "faults: a fault is PLACE:NUMBER:ACTION", text);
  const Known* match = nullptr;
  for (const Known& k : known)
    if (k.place == parts[0] && k.action == parts[2]) match = &k;
  if (!match) {
    std::string names;
    for (const Known& k : known) names += (names.empty() ? "" : ", ") + std::string(k.place) + ":N:" + std::string(k.action);
    fail("faults: not a known fault", text, "known are", names);
  }
  const bool sleeps = match->does == Action::Sleep;
  check(parts.size() == (sleeps ? 4u : 3u), sleeps ? "faults: a sleep has a duration" : "faults: there is more than the fault needs", text);
  Hook hook{match->at, 0, match->does};
  if (std::string_view number = parts[1]; number != "*") {
    hook.number = take_number(number, text);
    check(number.empty(), "faults: a place has a number or *", text);
  }
  if (sleeps) {
    std::string_view rest = parts[3];
    const auto count = static_cast<int64_t>(take_number(rest, text));
    check(rest == "ms" || rest == "s", "faults: a duration ends in ms or s", text);
    check(count <= (rest == "s" ? 3600 : 3'600'000), "faults: a sleep is at most an hour", text);
    hook.duration = std::chrono::milliseconds(rest == "s" ? count * 1000 : count);
  }
  return hook;
}

Faults Faults::parse(std::string_view spec) {
  Faults faults;
  if (spec.empty()) return faults;
  for (std::string_view hook : split(spec, ',')) faults.hooks_.push_back(parse_hook(hook));
  return faults;
}

Faults Faults::from_environment() {
  const char* spec = std::getenv("INFERNUM_FAULTS");
  return parse(spec ? spec : "");
}

bool Faults::at(Place place, uint64_t number, Action action) const {
  for (const Hook& h : hooks_)
    if (h.place == place && h.action == action && (h.number == 0 || h.number == number)) return true;
  return false;
}

std::chrono::milliseconds Faults::sleep(uint64_t number) const {
  std::chrono::milliseconds sum{0};
  for (const Hook& h : hooks_)
    if (h.action == Action::Sleep && (h.number == 0 || h.number == number)) sum += h.duration;
  return sum;
}

}  // namespace infernum
