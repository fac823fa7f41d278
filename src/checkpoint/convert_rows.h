// A tensor of the file to be written, and where its rows come from.
#pragma once
#include <string>
#include <vector>

#include "backends/cpu/queue.h"
#include "checkpoint/gguf_writer.h"
#include "checkpoint/stored_tensor.h"

namespace infernum {

struct OutputTensor {
  std::string name;  ///< GGUF spelling
  DType type = DType::F32;
  Shape shape;
  std::vector<const StoredTensor*> parts;  ///< stacked along the first dimension; of one shape
  int64_t permuted_heads = 0;              ///< not 0: within each of so many heads row 2 i + j is row j D / 2 + i of the source
  std::vector<float> values;               ///< the elements themselves, where there are no parts
};

/// Appends all elements, converted to tensor.type, by the threads of `queue`; rows of that type already are copied.
void write_tensor(const OutputTensor& tensor, GgufWriter& writer, Queue<Cpu>& queue);

}  // namespace infernum
