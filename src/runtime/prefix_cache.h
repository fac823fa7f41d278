// PrefixCache: which blocks hold the state of which beginnings, so that a sequence goes on from the longest one that is known. A tree of
// full blocks, one per salt: a node is the block_tokens tokens that follow its parent, compared token by token on every hit. What no
// sequence holds is given up when a pool is short, the longest unused first and the ends of prefixes before their beginnings.
#pragma once
#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/cache_limit.h"
#include "runtime/sequence_cache.h"

namespace infernum {

class PrefixCache {
  struct Node;

 public:
  /// Serves all sequences of `pools`, which must outlive it.
  explicit PrefixCache(CachePools& pools);
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  /// How far a sequence is known to the cache; its node stays. To be dropped before the cache is.
  class Place {
   public:
    Place() = default;
    ~Place() { reset(); }
    Place(Place&& other) noexcept;
    Place& operator=(Place&& other) noexcept;
    void reset();

   private:
    friend class PrefixCache;
    void move_to(PrefixCache& cache, Node& node, int64_t blocks);
    PrefixCache* cache_ = nullptr;
    Node* node_ = nullptr;
    int64_t blocks_ = 0;
  };

  struct Hit {
    int64_t tokens = 0;  ///< a border, or behind the last token of a sequence that went; the last one is computed for its logits
    int64_t known = 0;   ///< the border up to which the tokens are known, whether or not their state is still here
    CacheLimit limit = CacheLimit::Unseen;
    int64_t checkpoint = 0;  ///< the border before that is kept; 0: none
  };
  /// The longest beginning of `tokens` from which a sequence can go on.
  Hit find(std::string_view salt, std::span<const int32_t> tokens);
  /// The same, and makes it the state of `cache`, which is empty, with the last border up to `checkpoint` as a checkpoint if it is before.
  Hit adopt(std::string_view salt, std::span<const int32_t> tokens, SequenceCache& cache, Place& place, int64_t checkpoint = 0);

  /// The blocks of positions 0 .. end - 1 are computed: makes the full ones known that are not yet. To be called before end_step(), which
  /// gives back what windows have passed. States of recurrent layers are taken at the borders of `states` alone; with `passing`, instead
  /// of the one at the border before.
  void add(Place& place, SequenceCache& cache, std::span<const int32_t> tokens, int64_t end, std::span<const int64_t> states, bool passing);

  /// The sequence goes: makes its begun last block known, to be taken over by one that goes on behind just these tokens.
  void add_last(const Place& place, SequenceCache& cache, std::span<const int32_t> tokens);

  /// Makes unknown what was added, or found, at this place behind position `from`, a border: its values are not to be relied upon.
  void distrust(Place& place, int64_t from);

  int64_t nodes() const { return static_cast<int64_t>(nodes_.size()); }
  /// Lets go of everything that no sequence's place needs.
  void clear();

 private:
  using Tokens = std::array<int32_t, block_tokens>;  ///< behind the last one of a begun block: -1
  struct Key {
    const Node* parent;
    Tokens tokens;
    uint64_t hash;  ///< of all tokens from the beginning, and the salt
    friend bool operator==(const Key& a, const Key& b) { return a.parent == b.parent && a.tokens == b.tokens; }
  };
  struct KeyHash {
    size_t operator()(const Key& key) const { return key.hash; }
  };
  struct Node {
    Node* parent = nullptr;             ///< nothing: a root
    const Key* key = nullptr;           ///< nothing: a root
    const std::string* salt = nullptr;  ///< of a root
    uint64_t hash = 0;
    int64_t children = 0, places = 0;
    bool passing = false;         ///< its recurrent state gives way to that of the next block
    std::vector<int32_t> blocks;  ///< per group; -1: not here
  };
  struct Path {
    std::vector<Node*> nodes;
    bool was_known = false;  ///< the block after the last one was here once
  };
  Key key_of(const Node& parent, std::span<const int32_t> tokens, int64_t block) const;
  Path path(std::string_view salt, std::span<const int32_t> tokens, int64_t blocks);
  int64_t usable(std::span<Node* const> path) const;
  Node* begun_block(const Path& path, Node& root, std::span<const int32_t> tokens, int64_t& length);
  CacheLimit limit_of(const Path& path, int64_t blocks, int64_t used) const;
  Node& root_of(std::string_view salt);
  Node& child_of(Node& parent, std::span<const int32_t> tokens, int64_t block);
  bool share_blocks(Node& node, SequenceCache& cache, int64_t block, bool state);
  void reclaim(size_t group, int32_t block);
  void let_go(Node& node, size_t group);
  void remove_unused(Node* node);
  void limit_nodes();
  bool recurrent(size_t group) const { return pools_.info().groups[group].kind == Retention::Kind::Recurrent; }

  CachePools& pools_;
  std::array<uint64_t, 2> secret_;
  uint64_t hash(uint64_t start, std::span<const int32_t> tokens) const;
  std::unordered_map<Key, Node, KeyHash> nodes_;
  std::unordered_map<std::string, Node> roots_;
  std::vector<std::vector<Node*>> owners_;  ///< per group, of every block
  size_t most_nodes_ = 1024;
  std::vector<uint64_t> forgotten_;  ///< hashes of nodes that went, for limit_of() alone
};

}  // namespace infernum
