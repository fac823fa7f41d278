// Golden files: named arrays of a safetensors file, and how far a result is from them.
#pragma once
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "checkpoint/tensor_source.h"
#include "quant/quant.h"

namespace infernum::test {

inline std::string data(const std::string& path) { return std::string(INFERNUM_BINARY_DIR) + "/data/" + path; }
inline std::string source(const std::string& path) { return std::string(INFERNUM_SOURCE_DIR) + "/" + path; }

class Golden {
 public:
  explicit Golden(const std::string& path) {
    for (StoredTensor& t : open_safetensors(path).tensors) tensors_.add(std::move(t));
  }
  bool has(const std::string& name) const { return tensors_.find(name) != nullptr; }
  const Shape& shape(const std::string& name) const { return get(name).shape; }
  std::vector<float> floats(const std::string& name) const {
    const StoredTensor& t = get(name);
    std::vector<float> v(static_cast<size_t>(t.shape.elements()));
    dequantize(t.dtype, t.data, v.data(), t.shape.elements());
    return v;
  }
  std::vector<int32_t> ids(const std::string& name) const {
    const StoredTensor& t = get(name);
    std::vector<int32_t> v(static_cast<size_t>(t.shape.elements()));
    std::memcpy(v.data(), t.data, v.size() * sizeof(int32_t));
    return v;
  }

 private:
  const StoredTensor& get(const std::string& name) const {
    const StoredTensor* t = tensors_.find(name);
    check(t != nullptr, "golden: no such array", name);
    return *t;
  }
  TensorSource tensors_;
};

/// max |a - b| / max |b|; infinite if any value is NaN or the sizes differ.
inline double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return INFINITY;
  double worst = 0, scale = 0;
  for (size_t i = 0; i < a.size(); i++) {
    if (std::isnan(a[i]) || std::isnan(b[i])) return INFINITY;
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    scale = std::max(scale, std::abs(static_cast<double>(b[i])));
  }
  return worst / scale;
}

}  // namespace infernum::test
