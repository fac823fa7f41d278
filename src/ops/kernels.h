// Which kernel exists for which backend: the support matrix of the engine. An op without a line for a backend does not compile there.
// T tokens, H hidden size, Nq / Nkv query / key-value heads, D head dimension, V vocabulary, E experts, S experts per token.
#pragma once
#include "core/view.h"

namespace infernum {

// y (m, n) = x (m, k) * w (n, k)^T; w F32, F16 or BF16; y and x of one float type; accumulates in f32.
struct MatMul { static constexpr auto name = "matmul"; };
void kernel(MatMul, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, View<Cpu> w);

// The same with w in GGUF blocks or in a backend's packed form of them; may quantise x to int8 blocks (docs/numerics.md).
struct BlockMatMul { static constexpr auto name = "block_matmul"; };
void kernel(BlockMatMul, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, View<Cpu> w);

// y (T*S, n): row p = x (row p, or row p / S when x has T rows) * w[ids[p]]^T; w (E, n, k) of any form above; ids (T, S) I32.
struct ExpertMatMul { static constexpr auto name = "expert_matmul"; };
void kernel(ExpertMatMul, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, View<Cpu> w, View<Cpu> ids);

}  // namespace infernum
