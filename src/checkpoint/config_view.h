// Typed look-ups in a config.json that is to become metadata.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace infernum {

/// An object, empty for empty text; throws for anything else and for nesting that would exhaust the stack of a reader. `file` is for
/// messages.
nlohmann::json parse_json_object(const std::string& text, const char* file);

/// The configuration of the text model: text_config of a multimodal one, which takes what it lacks from the outer object.
nlohmann::json text_config(nlohmann::json config);

/// Null counts as absent. Messages name the key and the value.
class ConfigView {
 public:
  explicit ConfigView(const nlohmann::json& config) : config_(config) {}

  const nlohmann::json& json() const { return config_; }
  const nlohmann::json* find(const char* key) const;
  std::string text(const char* key) const;
  std::optional<std::string> find_text(const char* key) const;
  int64_t integer(const char* key, int64_t low = 1, int64_t high = INT32_MAX) const;
  /// The first of `keys` that is present.
  std::optional<int64_t> find_integer(std::initializer_list<const char*> keys, int64_t low = 1, int64_t high = INT32_MAX) const;
  double number(const char* key) const;
  std::optional<double> find_number(const char* key) const;
  std::optional<bool> find_flag(const char* key) const;
  bool flag(const char* key, bool otherwise) const { return find_flag(key).value_or(otherwise); }
  /// A list of one entry for each layer; empty when absent.
  std::vector<std::string> layer_types() const;

  int64_t layers() const { return integer("num_hidden_layers", 1, 4096); }
  int64_t experts() const;
  int64_t kv_heads() const;
  int64_t head_dim() const;
  /// A number that layers of full attention may have one of their own of: transformers 5.17 writes it as per_layer_config, older files
  /// under `full_key`.
  int64_t of_layer(const char* key, const char* full_key, bool full, int64_t layer) const;
  /// layer_types, or where they are absent full attention in every sixth layer and in the last.
  std::vector<std::string> one_full_in_six() const;
  /// head_dim of the layers of full attention.
  int64_t full_head_dim() const;
  /// rope_parameters of transformers 5, or rope_scaling and rope_theta of transformers 4 put together. Of configurations with one for each
  /// type of layer, that of `layer_type`.
  nlohmann::json rope(std::string_view layer_type = "full_attention", double default_theta = 10000.0) const;
  int64_t rotary_dims(double default_factor) const;

 private:
  const nlohmann::json& config_;
};

}  // namespace infernum
