// StripShares: strips of weight rows dealt to threads so that each reads one run of memory, yet none waits for a slow one.
#pragma once
#include <atomic>
#include <cstdint>
#include <vector>

namespace infernum {

/// Every thread takes the strips of its own contiguous share in order, then those that are left in the shares of others: two cores that
/// take turns in one run of memory read it a tenth slower than two that have a run each.
class StripShares {
 public:
  StripShares(int64_t strips, int threads) : shares_(static_cast<size_t>(threads)) {
    for (int64_t t = 0; t < threads; t++) {
      shares_[static_cast<size_t>(t)].next.store(strips * t / threads, std::memory_order_relaxed);
      shares_[static_cast<size_t>(t)].end = strips * (t + 1) / threads;
    }
  }

  /// Calls f(strip) for strips that nobody else takes, until none is left.
  template <class F>
  void take(int thread, const F& f) {
    for (size_t i = 0; i < shares_.size(); i++) {
      Share& share = shares_[(static_cast<size_t>(thread) + i) % shares_.size()];
      for (int64_t strip; (strip = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;) f(strip);
    }
  }

 private:
  struct alignas(64) Share {  // a cache line each
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };
  std::vector<Share> shares_;
};

}  // namespace infernum
