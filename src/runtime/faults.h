// Faults: failures on order, so that tests see what happens in them. Read from INFERNUM_FAULTS, documented in docs/scheduler.md.
#pragma once
#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

namespace infernum {

/// A list of PLACE:NUMBER:ACTION, separated by commas. Numbers begin with 1; * is every one.
///   step:N:throw    the model throws in step N                 request:N:throw   the model throws whenever request N is in the step
///   step:N:nan      step N computes NaN for all                request:N:nan     the model computes NaN for request N
///   step:N:oom      step N finds no memory                     request:N:oom     steps with request N find no memory
///   step:N:sleep:D  step N takes D longer: 200ms, 3s           submit:N:full     the N-th submission finds the queue full
///   step:N:lost     the device is lost in step N               step:N:die        the engine itself fails
class Faults {
 public:
  enum class Place { Step, Request, Submit };
  enum class Action { Throw, Nan, Oom, Sleep, Lost, Die, Full };

  Faults() = default;
  /// Throws, naming what is wrong and what is known.
  static Faults parse(std::string_view spec);
  /// Of the environment's INFERNUM_FAULTS; none if it is not set.
  static Faults from_environment();

  bool any() const { return !hooks_.empty(); }
  bool at(Place place, uint64_t number, Action action) const;
  /// How much longer step `number` takes.
  std::chrono::milliseconds sleep(uint64_t number) const;

 private:
  struct Hook {
    Place place;
    uint64_t number;  ///< 0: every one
    Action action;
    std::chrono::milliseconds duration{0};
  };
  static Hook parse_hook(std::string_view text);
  std::vector<Hook> hooks_;
};

}  // namespace infernum
