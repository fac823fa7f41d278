// StateSlots: which slots of a recurrent state one sequence reads and writes in a step (the contract is in ops/recurrent.h).
#pragma once
#include "ops/cuda/sequences.cuh"

namespace infernum::cuda {

struct StateSlots {
  const int32_t* table;  ///< (blocks)
  int first, end;        ///< the sequence's tokens of this step, as rows of the batch
  int position;          ///< of the first token

  /// The slot of the state before the first token; -1: that state is zero.
  __device__ int initial() const { return position == 0 ? -1 : table[(position - 1) / block_tokens]; }
  __device__ int slot_after(int token) const { return table[(position + token - first) / block_tokens]; }
  /// The first token, from `token` on, after which a state is stored: the last of a block that has a slot, or the step's last.
  __device__ int next_stored(int token) const {
    for (int last = token - first + position;
         last = last / block_tokens * block_tokens + block_tokens - 1, last - position + first < end - 1; last++)
      if (table[last / block_tokens] >= 0) return last - position + first;
    return end - 1;
  }
};

/// The sequence must have tokens.
__device__ inline StateSlots state_slots(const Sequences& s, int sequence) {
  const int first = s.query_start[sequence];
  return {s.blocks(sequence), first, s.query_start[sequence + 1], s.positions[first]};
}

}  // namespace infernum::cuda
