// The order of elements that a GGUF file wants of a tensor.
#pragma once
#include "checkpoint/config_view.h"
#include "checkpoint/convert_rows.h"
#include "checkpoint/tensor_source.h"

namespace infernum {

/// Fills in the shape of `out` and where its elements come from; `out.parts` are set. Throws where the shapes of the checkpoint and its
/// configuration disagree.
void arrange(const GgufTensor& row, const ConfigView& config, const TensorSource& source, OutputTensor& out);

}  // namespace infernum
