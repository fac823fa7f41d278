#include "runtime/prefix_cache.h"

#include <algorithm>
#include <random>
#include <utility>

#include "core/check.h"

namespace infernum {
namespace {

constexpr size_t forgotten_hashes = 1 << 14;

/// SipHash-1-3 (Aumasson and Bernstein 2012): without the secret nobody can make prompts that share a bucket.
class SipHash {
 public:
  SipHash(const std::array<uint64_t, 2>& secret)
      : v0_(secret[0] ^ 0x736f6d6570736575u),
        v1_(secret[1] ^ 0x646f72616e646f6du),
        v2_(secret[0] ^ 0x6c7967656e657261u),
        v3_(secret[1] ^ 0x7465646279746573u) {}
  void add(uint64_t word) {
    v3_ ^= word;
    round();
    v0_ ^= word;
  }
  uint64_t finish() {
    v2_ ^= 0xff;
    for (int i = 0; i < 3; i++) round();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  static uint64_t turn(uint64_t x, int bits) { return (x << bits) | (x >> (64 - bits)); }
  void round() {
    v0_ += v1_, v1_ = turn(v1_, 13) ^ v0_, v0_ = turn(v0_, 32);
    v2_ += v3_, v3_ = turn(v3_, 16) ^ v2_;
    v0_ += v3_, v3_ = turn(v3_, 21) ^ v0_;
    v2_ += v1_, v1_ = turn(v1_, 17) ^ v2_, v2_ = turn(v2_, 32);
  }
  uint64_t v0_, v1_, v2_, v3_;
};

uint64_t random_word() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

}  // namespace

PrefixCache::Place::Place(Place&& other) noexcept
    : cache_(std::exchange(other.cache_, nullptr)), node_(std::exchange(other.node_, nullptr)), blocks_(std::exchange(other.blocks_, 0)) {}

PrefixCache::Place& PrefixCache::Place::operator=(Place&& other) noexcept {
  std::swap(cache_, other.cache_);
  std::swap(node_, other.node_);
  std::swap(blocks_, other.blocks_);
  return *this;
}

void PrefixCache::Place::reset() {
  if (!node_) return;
  node_->places--;
  cache_->remove_unused(node_);
  cache_ = nullptr, node_ = nullptr, blocks_ = 0;
}

void PrefixCache::Place::move_to(PrefixCache& cache, Node& node, int64_t blocks) {
  node.places++;
  reset();
  cache_ = &cache, node_ = &node, blocks_ = blocks;
}

PrefixCache::PrefixCache(CachePools& pools) : pools_(pools), secret_{random_word(), random_word()}, forgotten_(forgotten_hashes) {
  for (int g = 0; g < pools.groups(); g++) {
    owners_.emplace_back(static_cast<size_t>(pools.group(g).size()));
    most_nodes_ += 4 * owners_.back().size();
    pools.group(g).on_reclaim([this, g](int32_t block) { reclaim(static_cast<size_t>(g), block); });
  }
}

PrefixCache::~PrefixCache() {
  clear();
  for (int g = 0; g < pools_.groups(); g++) pools_.group(g).on_reclaim({});
}

uint64_t PrefixCache::hash(uint64_t start, std::span<const int32_t> tokens) const {
  SipHash h(secret_);
  h.add(start);
  for (size_t i = 0; i < tokens.size(); i += 2) {
    const uint64_t high = i + 1 < tokens.size() ? static_cast<uint32_t>(tokens[i + 1]) : 0;
    h.add(static_cast<uint32_t>(tokens[i]) | (high << 32));
  }
  return h.finish();
}

PrefixCache::Key PrefixCache::key_of(const Node& parent, std::span<const int32_t> tokens, int64_t block) const {
  Key key{&parent, {}, 0};
  const auto part = tokens.subspan(static_cast<size_t>(block * block_tokens));
  key.tokens.fill(-1);
  std::copy_n(part.begin(), std::min<size_t>(part.size(), block_tokens), key.tokens.begin());
  key.hash = hash(parent.hash, key.tokens);
  return key;
}

PrefixCache::Path PrefixCache::path(std::string_view salt, std::span<const int32_t> tokens, int64_t blocks) {
  Path p;
  Node nobody;
  nobody.hash = hash(0, std::vector<int32_t>(salt.begin(), salt.end()));
  const auto root = roots_.find(std::string(salt));
  const Node* at = root == roots_.end() ? &nobody : &root->second;
  for (int64_t b = 0; b < blocks; b++) {
    const Key key = key_of(*at, tokens, b);
    const auto child = nodes_.find(key);
    if (child == nodes_.end()) {
      p.was_known = forgotten_[key.hash % forgotten_hashes] == key.hash;
      break;
    }
    p.nodes.push_back(&child->second);
    at = p.nodes.back();
  }
  return p;
}

/// The most blocks of the path after which every group has what a continuation reads.
int64_t PrefixCache::usable(std::span<Node* const> path) const {
  const auto& groups = pools_.info().groups;
  std::vector<int64_t> here(groups.size());  // blocks without a gap before the border
  int64_t best = 0;
  for (int64_t b = 1; b <= static_cast<int64_t>(path.size()); b++) {
    bool complete = true;
    for (size_t g = 0; g < groups.size(); g++) {
      here[g] = path[static_cast<size_t>(b - 1)]->blocks[g] >= 0 ? here[g] + 1 : 0;
      complete &= here[g] >= b - groups[g].oldest_read(b * block_tokens) / block_tokens;
    }
    if (complete) best = b;
  }
  return best;
}

/// The block that a sequence had begun behind the whole of the path and that `tokens` go on with, if it and all else that a continuation at
/// `length`, which is set, reads are still here.
PrefixCache::Node* PrefixCache::begun_block(const Path& path, Node& root, std::span<const int32_t> tokens, int64_t& length) {
  const auto full = static_cast<int64_t>(path.nodes.size());
  const Node& parent = full > 0 ? *path.nodes.back() : root;
  if (parent.children == 0) return nullptr;
  const auto& groups = pools_.info().groups;
  const auto here = [&](const Node& begun, size_t g) {
    if (begun.blocks[g] < 0) return false;
    for (int64_t b = groups[g].oldest_read(length) / block_tokens; b < full; b++)
      if (path.nodes[static_cast<size_t>(b)]->blocks[g] < 0) return false;
    return true;
  };
  const int64_t last = std::min<int64_t>(static_cast<int64_t>(tokens.size()) - 1, (full + 1) * block_tokens - 1);
  for (length = last; length > full * block_tokens; length--) {
    const auto child = nodes_.find(key_of(parent, tokens.first(static_cast<size_t>(length)), full));
    if (child == nodes_.end()) continue;
    bool complete = true;
    for (size_t g = 0; g < groups.size(); g++) complete &= here(child->second, g);
    if (complete) return &child->second;
  }
  return nullptr;
}

CacheLimit PrefixCache::limit_of(const Path& path, int64_t blocks, int64_t used) const {
  if (used == blocks) return CacheLimit::Whole;
  if (used == static_cast<int64_t>(path.nodes.size())) return path.was_known ? CacheLimit::Evicted : CacheLimit::Unseen;
  const auto& groups = pools_.info().groups;
  const bool states = std::any_of(groups.begin(), groups.end(), [](const Retention& r) { return r.kind == Retention::Kind::Recurrent; });
  return states ? CacheLimit::StateNotKept : CacheLimit::Evicted;
}

PrefixCache::Hit PrefixCache::find(std::string_view salt, std::span<const int32_t> tokens) {
  const int64_t blocks = (static_cast<int64_t>(tokens.size()) - 1) / block_tokens;
  const Path p = path(salt, tokens, blocks);
  const int64_t used = usable(p.nodes);
  return {used * block_tokens, static_cast<int64_t>(p.nodes.size()) * block_tokens, limit_of(p, blocks, used)};
}

PrefixCache::Hit PrefixCache::adopt(std::string_view salt, std::span<const int32_t> tokens, SequenceCache& cache, Place& place,
                                    int64_t checkpoint) {
  const int64_t blocks = (static_cast<int64_t>(tokens.size()) - 1) / block_tokens;
  Node& root = root_of(salt);
  place.move_to(*this, root, 0);
  const Path p = path(salt, tokens, blocks);
  const auto block_of = [&](int g, int64_t b) { return p.nodes[static_cast<size_t>(b)]->blocks[static_cast<size_t>(g)]; };
  int64_t length = 0;
  Node* const begun = begun_block(p, root, tokens, length);
  const auto full = static_cast<int64_t>(p.nodes.size());
  const int64_t used = begun ? full : usable(p.nodes), found = begun ? length : used * block_tokens;
  int64_t kept = 0;
  if (checkpoint > 0 && found > checkpoint)
    kept = usable(std::span(p.nodes).first(static_cast<size_t>(std::min(full, checkpoint / block_tokens)))) * block_tokens;
  if (kept > 0) cache.keep(kept);
  cache.adopt(found, [&](int g, int64_t b) { return b == full ? begun->blocks[static_cast<size_t>(g)] : block_of(g, b); });
  if (used > 0) place.move_to(*this, *p.nodes[static_cast<size_t>(used - 1)], used);
  if (begun) {
    for (size_t g = 0; g < owners_.size(); g++) let_go(*begun, g);
    remove_unused(begun);
  } else if (used > 0) {
    p.nodes[static_cast<size_t>(used - 1)]->passing = false;
  }
  return {found, full * block_tokens, limit_of(p, blocks, used), kept};
}

PrefixCache::Node& PrefixCache::root_of(std::string_view salt) {
  const auto [it, fresh] = roots_.try_emplace(std::string(salt));
  Node& root = it->second;
  if (fresh) {
    root.salt = &it->first;
    root.hash = hash(0, std::vector<int32_t>(salt.begin(), salt.end()));
    root.blocks.assign(owners_.size(), -1);
  }
  return root;
}

PrefixCache::Node& PrefixCache::child_of(Node& parent, std::span<const int32_t> tokens, int64_t block) {
  const auto [it, fresh] = nodes_.try_emplace(key_of(parent, tokens, block));
  Node& node = it->second;
  if (fresh) {
    node.parent = &parent;
    node.key = &it->first;
    node.hash = it->first.hash;
    node.blocks.assign(owners_.size(), -1);
    parent.children++;
  }
  return node;
}

/// Gives the node the blocks that it lacks; of those it has, the sequence uses the node's. True if the node took a state.
bool PrefixCache::share_blocks(Node& node, SequenceCache& cache, int64_t block, bool state) {
  bool took_state = false;
  for (size_t g = 0; g < owners_.size(); g++) {
    const auto& table = cache.table(static_cast<int>(g));
    const int32_t own = static_cast<size_t>(block) < table.size() ? table[static_cast<size_t>(block)] : -1;
    if (own < 0 || own == node.blocks[g] || (recurrent(g) && !state)) continue;
    if (node.blocks[g] >= 0) {
      if (!recurrent(g)) cache.replace(static_cast<int>(g), block, node.blocks[g]);
      continue;
    }
    if (pools_.group(static_cast<int>(g)).cached(own)) continue;
    pools_.group(static_cast<int>(g)).cache(own);
    owners_[g][static_cast<size_t>(own)] = &node;
    node.blocks[g] = own;
    took_state |= recurrent(g);
  }
  return took_state;
}

void PrefixCache::add(Place& place, SequenceCache& cache, std::span<const int32_t> tokens, int64_t end, std::span<const int64_t> states,
                      bool passing) {
  check(place.node_ != nullptr && end <= static_cast<int64_t>(tokens.size()), "prefix cache: a sequence is added to where it adopted", end);
  for (int64_t b = place.blocks_; b < end / block_tokens; b++) {
    Node& parent = *place.node_;
    Node& node = child_of(parent, tokens, b);
    place.move_to(*this, node, b + 1);
    const bool state = std::find(states.begin(), states.end(), (b + 1) * block_tokens) != states.end();
    if (share_blocks(node, cache, b, state)) node.passing = passing;
    if (!state || !passing || !parent.passing) continue;
    parent.passing = false;
    for (size_t g = 0; g < owners_.size(); g++)
      if (recurrent(g) && parent.blocks[g] >= 0) let_go(parent, g);
  }
  limit_nodes();
}

void PrefixCache::add_last(const Place& place, SequenceCache& cache, std::span<const int32_t> tokens) {
  const int64_t length = cache.length(), block = length / block_tokens;
  if (!place.node_ || length % block_tokens == 0 || place.blocks_ != block) return;
  share_blocks(child_of(*place.node_, tokens.first(static_cast<size_t>(length)), block), cache, block, true);
}

void PrefixCache::let_go(Node& node, size_t group) {
  const int32_t block = std::exchange(node.blocks[group], -1);
  owners_[group][static_cast<size_t>(block)] = nullptr;
  pools_.group(static_cast<int>(group)).uncache(block);
}

void PrefixCache::distrust(Place& place, int64_t from) {
  for (int64_t b = place.blocks_; b > from / block_tokens && place.node_->parent; b--) {
    for (size_t g = 0; g < owners_.size(); g++)
      if (place.node_->blocks[g] >= 0) let_go(*place.node_, g);
    place.move_to(*this, *place.node_->parent, b - 1);
  }
}

/// The pool of a group needs this block, which no sequence holds. Who held a later one held this one too and let it go afterwards, so that
/// what keeps everything is reclaimed from the ends of prefixes.
void PrefixCache::reclaim(size_t group, int32_t block) {
  Node* node = owners_[group][static_cast<size_t>(block)];
  const bool whole = pools_.info().groups[group].kind == Retention::Kind::All;
  for (size_t g = 0; g < owners_.size(); g++)
    if (node->blocks[g] >= 0 && (whole || g == group)) let_go(*node, g);
  remove_unused(node);
}

void PrefixCache::remove_unused(Node* node) {
  while (node && node->children == 0 && node->places == 0 &&
         std::all_of(node->blocks.begin(), node->blocks.end(), [](int32_t b) { return b < 0; })) {
    Node* parent = node->parent;
    if (!parent) {
      roots_.erase(roots_.find(*node->salt));
      return;
    }
    forgotten_[node->hash % forgotten_hashes] = node->hash;
    nodes_.erase(nodes_.find(*node->key));
    parent->children--;
    node = parent;
  }
}

/// Without a group that keeps everything, nodes outlive their blocks while later ones have some: this bounds them.
void PrefixCache::limit_nodes() {
  for (int g = 0; g < pools_.groups(); g++)
    while (nodes_.size() > most_nodes_ && pools_.group(g).reclaim_oldest()) {}
}

void PrefixCache::clear() {
  for (int g = 0; g < pools_.groups(); g++)
    while (pools_.group(g).reclaim_oldest()) {}
}

}  // namespace infernum
