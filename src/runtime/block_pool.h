// BlockPool: the numbers of the cache blocks of one group, handed out with reference counts. A block that a prefix cache alone holds is
// handed out again when no free one is left, the longest unread first.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace infernum {

class BlockPool {
 public:
  explicit BlockPool(int64_t blocks);

  int64_t size() const { return static_cast<int64_t>(references_.size()); }
  /// Blocks that take() has: free ones, and those that the cache alone holds.
  int64_t available() const { return static_cast<int64_t>(free_.size()) + reclaimable_; }

  /// A block with one reference, or nothing when none is left.
  std::optional<int32_t> take();
  /// One more owner of a block in use.
  void share(int32_t block);
  /// One owner less; the last one frees the block.
  void release(int32_t block);
  int references(int32_t block) const { return references_[static_cast<size_t>(block)]; }

  /// Makes the prefix cache one more owner, from which take() may reclaim the block once it is the only one.
  void cache(int32_t block);
  /// The prefix cache is no owner any more.
  void uncache(int32_t block);
  bool cached(int32_t block) const { return cached_[static_cast<size_t>(block)]; }
  /// Called by take() with the block it needs back; has to uncache() it.
  void on_reclaim(std::function<void(int32_t)> reclaim) { reclaim_ = std::move(reclaim); }
  /// Reclaims the block that was let go first; false if there is none.
  bool reclaim_oldest();

 private:
  void check_in_use(int32_t block, const char* rule) const;
  void link(size_t block);
  void unlink(size_t block);

  std::vector<int32_t> free_;
  std::vector<int> references_;
  std::vector<bool> cached_;
  /// Ring of the reclaimable blocks in the order in which they were last let go; its anchor is at size().
  std::vector<size_t> next_, previous_;
  int64_t reclaimable_ = 0;
  std::function<void(int32_t)> reclaim_;
};

}  // namespace infernum
