// Conversion of a checkpoint to one GGUF file whose matrices are all of one type: what `infernum quantize` and `infernum convert` do.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/dtype.h"

namespace infernum {

struct Conversion {
  std::string input;   ///< Hugging Face folder of one of gguf_families(), or .gguf file
  std::string output;  ///< .gguf file; appears only when complete
  /// Of every matrix with rows of whole blocks; see fallback_type() for the rest. Nothing: as it is stored. Norms, biases, routers: F32.
  std::optional<DType> type = DType::Q8_0;
  int threads = 1;
  /// Called after each tensor, counted in tensors; may be empty.
  std::function<void(std::string_view tensor, int64_t done, int64_t total)> progress;
  bool medium = false;  ///< Q4_K_M, Q5_K_M: the tensors that matter most in Q6_K, as llama.cpp picks them
};

/// Memory use is bounded by a few tens of MiB plus metadata, whatever the size of the checkpoint.
void convert_to_gguf(const Conversion& conversion);

/// "q4_k", "Q8_0", "bf16" ...: the types that convert_to_gguf() writes; throws naming them all for another name.
DType parse_gguf_type(std::string_view name);

/// Sets type and medium from a name as above, or "Q4_K_M" or "Q5_K_M".
void set_target(Conversion& conversion, std::string_view name);

/// `type`, or where rows of `row_elements` are not whole blocks of it the nearest type that fits (as llama.cpp chooses).
DType fallback_type(DType type, int64_t row_elements);

/// True for the tensors that stay F32 in a quantised file: all but the matrices of linear layers and embeddings. Takes GGUF names.
bool stays_f32(std::string_view gguf_name, int rank);

}  // namespace infernum
