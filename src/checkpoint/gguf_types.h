// The numbers by which GGUF files name tensor types.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "core/dtype.h"

namespace infernum {

/// Nothing for types that are removed, unknown or not implemented.
std::optional<DType> dtype_of_ggml(uint32_t id);
/// Nothing for types that GGUF has no number for.
std::optional<uint32_t> ggml_of_dtype(DType type);
/// For messages: the name of a type that is not read, and why when there is a reason.
std::string describe_ggml_type(uint32_t id);

}  // namespace infernum
