// StateSlots: which slots of a recurrent state one sequence reads and writes in a step (the contract is in ops/recurrent.h).
#pragma once
#include "core/check.h"
#include "core/view.h"
#include "ops/batch.h"

namespace infernum {

struct StateSlots {
  const int32_t* table;  ///< (blocks)
  int64_t first, end;    ///< the sequence's tokens of this step, as rows of the batch
  int64_t position;      ///< of the first token

  /// The slot of the state before the first token; -1: that state is zero.
  int64_t initial() const { return position == 0 ? -1 : table[(position - 1) / block_tokens]; }
  /// The first token, from `token` on, after which a state is stored, and the slot for it.
  int64_t next_stored(int64_t token) const {
    for (; token + 1 < end; token++)
      if ((position + token - first) % block_tokens == block_tokens - 1 && slot_after(token) >= 0) return token;
    return end - 1;
  }
  int64_t slot_after(int64_t token) const { return table[(position + token - first) / block_tokens]; }
};

/// Checks that every slot the step needs is there.
inline StateSlots state_slots(int64_t sequence, const View<Cpu>& positions, const View<Cpu>& query_start, const View<Cpu>& block_table,
                              int64_t slots) {
  const int32_t* start = query_start.as<const int32_t>();
  StateSlots s{block_table.row<const int32_t>(sequence), start[sequence], start[sequence + 1], 0};
  if (s.first == s.end) return s;
  s.position = positions.as<const int32_t>()[s.first];
  check(s.position >= 0 && (s.position + s.end - s.first - 1) / block_tokens < block_table.cols(),
        "recurrent state: the block table must reach to the last token", sequence, s.position, s.end - s.first, block_table.cols());
  check(s.position == 0 || s.initial() >= 0, "recurrent state: the block before the step has no slot", sequence, s.position);
  check(s.slot_after(s.end - 1) >= 0, "recurrent state: the last token's block has no slot", sequence, s.position, s.end - s.first);
  for (int64_t b = s.position > 0 ? (s.position - 1) / block_tokens : 0; b <= (s.position + s.end - s.first - 1) / block_tokens; b++)
    check(s.table[b] < slots, "recurrent state: a slot is outside of the state", sequence, b, s.table[b], slots);
  return s;
}

}  // namespace infernum
