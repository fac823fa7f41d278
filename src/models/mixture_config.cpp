#include "models/mixture_config.h"

namespace infernum {

int64_t count_or_null(const ConfigReader& json, std::string_view key, int64_t fallback) {
  const int64_t n = json.is_null(key) ? 0 : json.integer(key).value_or(fallback);
  check(n >= 0 && n <= INT32_MAX, "config.json: this key must lie between 0 and 2147483647", key, "=", n);
  return n;
}

namespace {

void demand(const ConfigReader& json, std::string_view key, std::initializer_list<std::string_view> implemented) {
  const auto value = json.string(key);
  if (!value) return;
  std::string list;
  for (std::string_view name : implemented) {
    if (*value == name) return;
    list += (list.empty() ? "" : ", ") + std::string(name);
  }
  fail("config.json: this family implements other values of this key", key, "=", *value, "; implemented:", list);
}

MixtureConfig read_shape(const ConfigReader& json, const DecoderConfig& c, const MixtureDefaults& d) {
  MixtureConfig m{count_or_null(json, "first_k_dense_replace", d.first_dense),
                  json.size("moe_layer_freq", 1),
                  count_or_null(json, "n_shared_experts", 1),
                  {}};
  m.shape = {.hidden_size = c.hidden_size,
             .experts = json.size("n_routed_experts", d.experts),
             .width = json.size("moe_intermediate_size", d.width),
             .route = {.top_k = static_cast<int>(json.size("num_experts_per_tok", d.experts_per_token))}};
  check_experts(m.shape.experts, c.num_hidden_layers);
  check(m.n_shared_experts * m.shape.width <= INT32_MAX, "config.json: shared experts are too wide", m.n_shared_experts, m.shape.width);
  return m;
}

void read_groups(const ConfigReader& json, const MixtureDefaults& d, MixtureShape& m) {
  m.route.groups = static_cast<int>(json.size("n_group", d.groups));
  m.route.kept_groups = static_cast<int>(json.size("topk_group", d.kept_groups));
  check(m.experts % m.route.groups == 0, "config.json: experts must divide into n_group groups", m.experts, m.route.groups);
}

}  // namespace

MixtureConfig read_mixture(const ConfigReader& json, const DecoderConfig& c, const MixtureDefaults& defaults) {
  demand(json, "scoring_func", {"sigmoid"});
  demand(json, "topk_method", {"noaux_tc"});
  MixtureConfig m = read_shape(json, c, defaults);
  read_groups(json, defaults, m.shape);
  m.shape.selection_bias = true;
  m.shape.route.scoring = RouteParams::Sigmoid;
  m.shape.route.group_score = RouteParams::SumOfTwo;
  m.shape.route.renormalise = json.boolean("norm_topk_prob").value_or(true);
  m.shape.route.scale = static_cast<float>(json.number("routed_scaling_factor").value_or(defaults.scale));
  return m;
}

MixtureConfig read_softmax_mixture(const ConfigReader& json, const DecoderConfig& c) {
  demand(json, "scoring_func", {"softmax"});
  demand(json, "topk_method", {"greedy", "group_limited_greedy"});
  const MixtureDefaults defaults{64, 6, 1407, 1, 1, 0, 1};
  MixtureConfig m = read_shape(json, c, defaults);
  MixtureShape groups = m.shape;
  read_groups(json, defaults, groups);
  if (json.string("topk_method").value_or("greedy") == "group_limited_greedy") m.shape = groups;
  // Either the sum of the weights or their scale is fixed.
  m.shape.route.renormalise = json.boolean("norm_topk_prob").value_or(false);
  const auto scale = static_cast<float>(json.number("routed_scaling_factor").value_or(defaults.scale));
  m.shape.route.scale = m.shape.route.renormalise ? 1 : scale;
  return m;
}

}  // namespace infernum
