// Seeds of the fuzz targets, made in code: the first inputs are valid files, so that mutation starts behind the first checks.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace infernum::testutil {

/// The body of LLVMFuzzerCustomMutator: now and then, and for nearly empty inputs, a seed takes the place of the input.
inline size_t mutate_from_seeds(const std::vector<std::string>& seeds, uint8_t* data, size_t size, size_t max_size, unsigned random) {
  if (size < 4 || random % 512 == 0) {
    const std::string& seed = seeds[random / 512 % seeds.size()];
    size = std::min(seed.size(), max_size);
    std::memcpy(data, seed.data(), size);
  }
  return LLVMFuzzerMutate(data, size, max_size);
}

}  // namespace infernum::testutil
