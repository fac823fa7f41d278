// TokenCounts: which tokens a sequence has and how often its output has each, brought up to date token by token, so that penalties cost a
// visit of the tokens that occur and no pass over the text.
#pragma once
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace infernum {

class TokenCounts {
 public:
  struct Entry {
    int32_t id;
    int in_output;  ///< 0: it occurs in the prompt alone
  };
  /// Counts what is new since the last call: a prompt stays as it is, an output only grows.
  void update(std::span<const int32_t> prompt, std::span<const int32_t> output);
  /// Every token of prompt or output, once.
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  Entry& entry_of(int32_t id);

  std::vector<Entry> entries_;
  std::unordered_map<int32_t, size_t> places_;  ///< in entries_
  size_t prompt_ = 0, output_ = 0;              ///< tokens counted
};

}  // namespace infernum
