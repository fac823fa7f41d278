// Published shapes with synthetic weights: benchmarks without a download.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "layers/weights.h"

namespace infernum {

/// config.json of a published shape: "llama-3.2-1b", "qwen3-0.6b" ..., or of its first layers: "deepseek-v2-lite/4"; throws, listing the
/// known names.
std::string shape_config(std::string_view name);
std::vector<std::string_view> shape_names();

/// Random matrices in one dtype (or the nearest that fits their rows), each in memory of its own, so that reading them costs what real
/// weights cost.
class SyntheticSource : public WeightSource {
 public:
  /// `headers_only`: no numbers, for a trace.
  explicit SyntheticSource(DType dtype, bool headers_only = false) : dtype_(dtype), headers_only_(headers_only) {}
  bool has(const std::string& name) const override;
  std::optional<Shape> shape(const std::string&) const override { return {}; }
  StoredTensor read(const std::string& name, const Shape& shape) override;

 private:
  const std::vector<std::byte>& pattern(DType dtype);
  DType dtype_;
  bool headers_only_;
  std::map<DType, std::vector<std::byte>> patterns_;  ///< a million quantised normal numbers per dtype
};

}  // namespace infernum
