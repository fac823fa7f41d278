// RankGroup: ranks that are threads of one process and see each other's memory.
#pragma once
#include <barrier>
#include <vector>

namespace infernum {

class RankGroup {
 public:
  explicit RankGroup(int ranks) : slots_(static_cast<size_t>(ranks)), barrier_(ranks) {}

  /// Every rank offers a pointer; once all have, each calls f with the pointers of all ranks in order. Returns when all are done with them.
  /// f must not throw: the other ranks would wait for ever.
  template <class F>
  void exchange(int rank, const void* mine, const F& f) {
    slots_[static_cast<size_t>(rank)] = mine;
    barrier_.arrive_and_wait();
    f(slots_);
    barrier_.arrive_and_wait();
  }

  /// For a rank that cannot go on: the others no longer wait for it. Their results are worthless from here on.
  void leave() { barrier_.arrive_and_drop(); }

 private:
  std::vector<const void*> slots_;
  std::barrier<> barrier_;
};

}  // namespace infernum
