// BlockPool: the numbers of the cache blocks of one group, handed out with reference counts.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace infernum {

class BlockPool {
 public:
  explicit BlockPool(int64_t blocks);

  int64_t size() const { return static_cast<int64_t>(references_.size()); }
  int64_t available() const { return static_cast<int64_t>(free_.size()); }

  /// A block with one reference, or nothing when none is left.
  std::optional<int32_t> take();
  /// One more owner of a block in use.
  void share(int32_t block);
  /// One owner less; the last one frees the block.
  void release(int32_t block);
  int references(int32_t block) const { return references_[static_cast<size_t>(block)]; }

 private:
  std::vector<int32_t> free_;
  std::vector<int> references_;
};

}  // namespace infernum
