// RankGroup: ranks that are threads of one process and see each other's memory.
#pragma once
#include <atomic>
#include <barrier>
#include <exception>
#include <mutex>
#include <utility>
#include <vector>

namespace infernum {

class RankGroup {
 public:
  explicit RankGroup(int ranks) : slots_(static_cast<size_t>(ranks)), barrier_(ranks) {}

  /// Every rank offers a pointer; once all have, each calls f with the pointers of all ranks in order. Returns when all are done with them.
  /// When f throws on one rank, or a rank has left, all ranks throw that error.
  template <class F>
  void exchange(int rank, const void* mine, const F& f) {
    slots_[static_cast<size_t>(rank)] = mine;
    barrier_.arrive_and_wait();
    if (left_) std::rethrow_exception(error());  // the same on all ranks: nobody can leave between here and the second barrier
    try {
      f(slots_);
    } catch (...) {  // the others still look at `mine`
      keep(std::current_exception());
      failed_ = true;
    }
    barrier_.arrive_and_wait();
    if (failed_) std::rethrow_exception(error());
  }

  /// What a rank must call, outside exchange, when it gives up for a reason: the others throw it from exchange instead of waiting.
  void leave(std::exception_ptr reason) {
    keep(std::move(reason));
    left_ = true;
    barrier_.arrive_and_drop();
  }

 private:
  void keep(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
  }
  std::exception_ptr error() {
    const std::lock_guard lock(mutex_);
    return error_;
  }

  std::vector<const void*> slots_;
  std::barrier<> barrier_;
  std::atomic<bool> failed_{false};  // changes only between the two barriers of an exchange
  std::atomic<bool> left_{false};    // changes only outside of them
  std::mutex mutex_;
  std::exception_ptr error_;  // the first one
};

}  // namespace infernum
