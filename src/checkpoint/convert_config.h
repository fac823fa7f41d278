// The hyper-parameters of config.json as GGUF metadata.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace infernum {

class GgufWriter;

/// An object, empty for empty text; throws for anything else and for nesting that would exhaust the stack of a reader. `file` is for
/// messages.
nlohmann::json parse_json_object(const std::string& text, const char* file);

/// Typed look-ups in a config.json; messages name the key and the value.
class ConfigReader {
 public:
  explicit ConfigReader(const nlohmann::json& config) : config_(config) {}

  std::string text(const char* key) const;
  int64_t integer(const char* key, int64_t low = 1, int64_t high = INT32_MAX) const;
  /// The first of `keys` that is present and not null.
  std::optional<int64_t> find_integer(std::initializer_list<const char*> keys, int64_t low = 1, int64_t high = INT32_MAX) const;
  double number(const char* key) const;
  std::optional<double> find_number(const char* key) const;
  bool flag(const char* key, bool otherwise) const;
  int64_t kv_heads() const;
  int64_t head_dim() const;

 private:
  const nlohmann::json* find(const char* key) const;
  const nlohmann::json& config_;
};

/// Sets the keys under `<architecture>.`. Warns of settings that the format cannot express.
void write_hyper_parameters(const nlohmann::json& config, const std::string& architecture, GgufWriter& writer);

/// Divisors of the inverse frequencies, one for each pair of rotary dimensions, that GGUF keeps in tensors.
struct RopeFactors {
  std::vector<float> all;                          ///< rope_freqs.weight: llama3 scaling
  std::vector<float> long_context, short_context;  ///< rope_factors_{long,short}.weight: longrope
};
RopeFactors rope_factors(const nlohmann::json& config);

}  // namespace infernum
