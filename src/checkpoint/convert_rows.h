// A tensor of the file to be written, and where its elements come from.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "backends/cpu/queue.h"
#include "checkpoint/gguf_family.h"
#include "checkpoint/gguf_writer.h"
#include "checkpoint/stored_tensor.h"

namespace infernum {

struct OutputTensor {
  std::string name;  ///< GGUF spelling
  DType type = DType::F32;
  Shape shape;
  std::vector<const StoredTensor*> parts;  ///< read behind each other; of one shape
  std::vector<float> values;               ///< the elements themselves, where there are no parts

  // Runs of `run` elements (0: a row) of the output, counted from 0, are runs of the parts: element i of run r is element
  // first(r) + i * step. Without a function run r is the r-th of the parts.
  int64_t run = 0;
  int64_t step = 1;
  std::function<int64_t(int64_t run)> first;
  GgufValues change = GgufValues::Same;
  const StoredTensor* scales = nullptr;  ///< of mxfp4: the part holds blocks of 16 bytes, this the exponent of each

  /// What the parts are stored as: MXFP4 if there are scales.
  DType stored_type() const { return scales ? DType::MXFP4 : parts[0]->dtype; }
};

/// Appends all elements, converted to tensor.type, by the threads of `queue`; runs of that type already are copied.
void write_tensor(const OutputTensor& tensor, GgufWriter& writer, Queue<Cpu>& queue);

}  // namespace infernum
