// The tensors of a GGUF file as the model asks for them: Hugging Face's names, shapes and values.
#pragma once
#include <vector>

#include "checkpoint/gguf_config.h"
#include "checkpoint/stored_tensor.h"
#include "checkpoint/tensor_source.h"

namespace infernum {

/// Names and shapes change without a copy; only small tensors whose values were changed for the file (norms with 1 added, -exp(A_log)) are
/// computed anew, in F32. The order of rows stays that of the file: the configuration tells it. Tensors without a name in the family keep
/// theirs, so that the report of unread tensors shows it. Of deepseek2 either `kv_b_proj.weight` is there or `k_b_proj.weight` (Nq, R,
/// nope) with `v_b_proj.weight` (Nq, v, R).
void add_gguf_tensors(std::vector<StoredTensor> tensors, const GgufConfig& config, TensorSource& source);

}  // namespace infernum
