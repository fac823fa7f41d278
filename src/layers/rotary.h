// RotaryEmbedding: the frequencies of a model on its device; makes the table of a step.
#pragma once
#include "formats/place.h"
#include "layers/rope_frequencies.h"
#include "ops/rope.h"

namespace infernum {

template <class B>
class RotaryEmbedding {
 public:
  RotaryEmbedding(Device<B>& device, const RopeConfig& config, int64_t context)
      : RotaryEmbedding(device, rope_frequencies(config, context)) {}
  /// positions (T) -> cos | sin (T, rotary_dim).
  Tensor<B> operator()(const Tensor<B>& positions) const { return rope_table(positions, inv_freq_, scale_); }

 private:
  RotaryEmbedding(Device<B>& device, const RopeFrequencies& f) : inv_freq_(place_f32(device, stored(f))), scale_(f.scale) {}
  static StoredTensor stored(const RopeFrequencies& f) {
    auto copy = std::make_shared<std::vector<float>>(f.exact.begin(), f.exact.end());
    const auto n = static_cast<int64_t>(copy->size());
    return {"inv_freq", DType::F32, {n}, reinterpret_cast<const std::byte*>(copy->data()), n * 4, copy, nullptr};
  }
  Tensor<B> inv_freq_;
  float scale_;
};

}  // namespace infernum
