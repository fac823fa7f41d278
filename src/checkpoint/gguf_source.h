// The hyper-parameters of a GGUF file while its configuration is made: metadata under the prefix of the architecture, questions about
// tensors.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "checkpoint/gguf.h"
#include "checkpoint/gguf_family.h"

namespace infernum {

class GgufSource {
 public:
  static constexpr int64_t most_layers = 4096, largest = INT32_MAX;

  GgufSource(const Gguf& file, std::string_view arch);

  /// The full name of a key, noted as read.
  std::string key(std::string_view name) const { return *read_.insert(prefix + std::string(name)).first; }
  int64_t require(const char* name, int64_t low = 1, int64_t high = largest) const { return metadata.require_int(key(name), low, high); }
  std::optional<int64_t> find(const char* name, int64_t low = 1, int64_t high = largest) const {
    return metadata.find_int(key(name), low, high);
  }
  std::optional<double> find_number(const char* name) const { return metadata.find_float(key(name)); }
  std::optional<bool> find_flag(const char* name) const { return metadata.find_bool(key(name)); }

  const StoredTensor* tensor(std::string_view name) const;
  bool has_tensor(const std::string& name) const { return names_.count(name) != 0; }
  /// True if a layer has this part, as "attn_q.bias".
  bool any_layer_has(std::string_view part) const;

  /// One value for each layer, without those of multi-token prediction; nothing when the key is absent.
  std::optional<std::vector<int64_t>> find_per_layer(const char* name, int64_t low = 1) const;
  /// A number that the format allows to vary by layer and this architecture does not.
  std::optional<int64_t> same_in_all_layers(const char* name) const;
  int64_t require_same_in_all_layers(const char* name) const;
  /// Copies the keys that are there into the configuration.
  void copy_keys(std::span<const GgufKey> keys, nlohmann::json& config) const;

  /// One line about keys of the architecture that nobody asked for: they may change what the model computes.
  void warn_of_unread_keys() const;

  const Gguf& gguf;
  const GgufMetadata& metadata;
  std::string prefix;
  int64_t layers = 0;  ///< without the layers of multi-token prediction

 private:
  int64_t blocks_ = 0;
  mutable std::set<std::string> read_;
  std::unordered_set<std::string_view> names_;
};

/// A FLOAT32 written with the fewest digits that give it back: 1e-05, not 9.999999747378752e-06.
double shortest(double value);

}  // namespace infernum
