// Seeds of the fuzz targets, made in code or of the golden models: the first inputs are valid files, so that mutation starts behind the
// first checks.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
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

/// The folders of the golden models, which have every family among them.
inline std::vector<std::string> golden_models() {
  std::vector<std::string> folders;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(INFERNUM_BINARY_DIR "/data/models", error))
    folders.push_back(entry.path().string());
  if (folders.empty()) {
    std::fputs("no golden model in " INFERNUM_BINARY_DIR "/data/models: configure anew\n", stderr);
    std::abort();
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

/// Every config.json of the golden models, in the spelling of either version of transformers.
inline std::vector<std::string> golden_configs() {
  std::vector<std::string> configs;
  for (const std::string& folder : golden_models())
    for (const char* name : {"/config.json", "/config.legacy.json"})
      if (std::ifstream file(folder + name, std::ios::binary); file)
        configs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  return configs;
}

}  // namespace infernum::testutil
