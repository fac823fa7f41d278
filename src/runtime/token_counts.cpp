#include "runtime/token_counts.h"

#include "core/check.h"

namespace infernum {

TokenCounts::Entry& TokenCounts::entry_of(int32_t id) {
  const auto [place, fresh] = places_.try_emplace(id, entries_.size());
  if (fresh) entries_.push_back({id, 0});
  return entries_[place->second];
}

void TokenCounts::update(std::span<const int32_t> prompt, std::span<const int32_t> output) {
  check((prompt_ == 0 || prompt_ == prompt.size()) && output_ <= output.size(), "token counts: the counted tokens stay as they are",
        "prompt", prompt.size(), "counted", prompt_, "output", output.size(), "counted", output_);
  for (; prompt_ < prompt.size(); prompt_++) entry_of(prompt[prompt_]);
  for (; output_ < output.size(); output_++) entry_of(output[output_]).in_output++;
}

}  // namespace infernum
