// Gemma 4's mixture beside every MLP against the formulas written out in double precision. Sequences of one token, whose attention returns
// the values: the rest of the family has recordings of the reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "checkpoint/convert.h"
#include "checkpoint/test_files.h"
#include "models/loader.h"
#include "models/test_models.h"

namespace infernum {
namespace {

using Vector = std::vector<double>;
using Json = nlohmann::json;

constexpr int64_t hidden = 8, heads = 4, kv_heads = 2, width = 12, experts = 5, chosen = 2, expert_width = 6, vocab = 10;
constexpr double eps = 1e-6;

/// What a wrong implementation might leave out.
struct Omission {
  bool router_norm = false, router_scale = false, expert_scale = false, renormalise = false, swapped_norms = false, dense = false;
};

Json config() {
  return {{"architectures", {"Gemma4ForCausalLM"}},
          {"vocab_size", vocab},
          {"hidden_size", hidden},
          {"intermediate_size", width},
          {"num_hidden_layers", 2},
          {"num_attention_heads", heads},
          {"num_key_value_heads", kv_heads},
          {"head_dim", 4},
          {"global_head_dim", 8},
          {"layer_types", {"sliding_attention", "full_attention"}},
          {"hidden_size_per_layer_input", 0},
          {"max_position_embeddings", 64},
          {"enable_moe_block", true},
          {"num_experts", experts},
          {"top_k_experts", chosen},
          {"moe_intermediate_size", expert_width}};
}

int64_t head_dim(int layer) { return layer == 0 ? 4 : 8; }

class Gemma4Mixture : public testing::Test {
 protected:
  Gemma4Mixture() {
    checkpoint.path = "memory";
    checkpoint.config_json = config().dump();
    add("model.embed_tokens.weight", {vocab, hidden});
    add("model.norm.weight", {hidden});
    for (int layer = 0; layer < 2; layer++) {
      const std::string at = "model.layers." + std::to_string(layer) + ".";
      for (const char* norm : {"input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm",
                               "pre_feedforward_layernorm_2", "post_feedforward_layernorm_1", "post_feedforward_layernorm_2"})
        add(at + norm + ".weight", {hidden});
      const int64_t d = head_dim(layer);
      add(at + "self_attn.q_proj.weight", {heads * d, hidden});
      add(at + "self_attn.k_proj.weight", {kv_heads * d, hidden});
      add(at + "self_attn.v_proj.weight", {kv_heads * d, hidden});
      add(at + "self_attn.o_proj.weight", {hidden, heads * d});
      add(at + "self_attn.q_norm.weight", {d});
      add(at + "self_attn.k_norm.weight", {d});
      add(at + "mlp.gate_proj.weight", {width, hidden});
      add(at + "mlp.up_proj.weight", {width, hidden});
      add(at + "mlp.down_proj.weight", {hidden, width});
      add(at + "router.proj.weight", {experts, hidden});
      add(at + "router.scale", {hidden});
      add(at + "router.per_expert_scale", {experts});
      add(at + "experts.gate_up_proj", {experts, 2 * expert_width, hidden});
      add(at + "experts.down_proj", {experts, hidden, expert_width});
      add(at + "layer_scalar", {1});
    }
  }

  /// Values that depend on the whole name, so that no two tensors are alike.
  void add(const std::string& name, const Shape& shape) {
    auto values = std::make_shared<std::vector<float>>(static_cast<size_t>(shape.elements()));
    std::seed_seq seed(name.begin(), name.end());
    std::mt19937 rng(seed);
    for (float& v : *values) v = static_cast<float>(rng() % 2001) / 1000 - 1;
    checkpoint.tensors.add({name, DType::F32, shape, reinterpret_cast<const std::byte*>(values->data()),
                            static_cast<int64_t>(values->size() * 4), values, nullptr});
  }

  Vector values(const std::string& name) const {
    const StoredTensor* t = checkpoint.tensors.find(name);
    check(t != nullptr, "test: no such tensor", name);
    const auto* data = reinterpret_cast<const float*>(t->data);
    return {data, data + t->shape.elements()};
  }

  /// Rows first .. first + n of a matrix with rows as long as x, times x.
  Vector times(const std::string& name, const Vector& x, int64_t first = 0, int64_t n = -1) const {
    const Vector w = values(name);
    const auto k = static_cast<int64_t>(x.size());
    if (n < 0) n = static_cast<int64_t>(w.size()) / k;
    Vector y(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; i++) y[static_cast<size_t>(i)] = std::inner_product(x.begin(), x.end(), w.begin() + (first + i) * k, 0.0);
    return y;
  }

  static Vector normed(Vector x) {
    const double mean = std::inner_product(x.begin(), x.end(), x.begin(), 0.0) / static_cast<double>(x.size());
    for (double& v : x) v /= std::sqrt(mean + eps);
    return x;
  }
  Vector norm(const std::string& name, const Vector& x) const {
    Vector y = normed(x);
    const Vector w = values(name + ".weight");
    for (size_t i = 0; i < y.size(); i++) y[i] *= w[i];
    return y;
  }
  static Vector gated(const Vector& gate, const Vector& up) {
    Vector y = gate;
    for (size_t i = 0; i < y.size(); i++) {
      const double g = gate[i];
      y[i] = 0.5 * g * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (g + 0.044715 * g * g * g))) * up[i];
    }
    return y;
  }
  static void accumulate(Vector& sum, const Vector& x, double factor = 1) {
    for (size_t i = 0; i < sum.size(); i++) sum[i] += factor * x[i];
  }

  Vector attention(const std::string& at, const Vector& x, int64_t d) const {
    const Vector v = times(at + "self_attn.v_proj.weight", x);
    Vector out;
    for (int64_t h = 0; h < heads; h++) {
      const auto begin = v.begin() + h / (heads / kv_heads) * d;
      const Vector head = normed({begin, begin + d});
      out.insert(out.end(), head.begin(), head.end());
    }
    return times(at + "self_attn.o_proj.weight", out);
  }

  Vector mixture(const std::string& at, const Vector& r, const Vector& x, const Omission& omit) const {
    Vector seen = omit.router_norm ? r : normed(r);
    const Vector scale = values(at + "router.scale");
    for (size_t i = 0; i < seen.size(); i++) seen[i] *= omit.router_scale ? 1 : scale[i] / std::sqrt(static_cast<double>(hidden));
    Vector p = times(at + "router.proj.weight", seen);
    for (double& v : p) v = std::exp(v);
    const double all = std::accumulate(p.begin(), p.end(), 0.0);
    std::vector<int64_t> order(static_cast<size_t>(experts));
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return p[static_cast<size_t>(a)] > p[static_cast<size_t>(b)]; });
    order.resize(chosen);
    double sum = 0;
    for (int64_t e : order) sum += p[static_cast<size_t>(e)];
    const Vector expert_scale = values(at + "router.per_expert_scale");
    Vector out(static_cast<size_t>(hidden));
    for (int64_t e : order) {
      const int64_t row = e * 2 * expert_width;
      const Vector inner = gated(times(at + "experts.gate_up_proj", x, row, expert_width),
                                 times(at + "experts.gate_up_proj", x, row + expert_width, expert_width));
      const double weight = p[static_cast<size_t>(e)] / (omit.renormalise ? all : sum);
      accumulate(out, times(at + "experts.down_proj", inner, e * hidden, hidden),
                 weight * (omit.expert_scale ? 1 : expert_scale[static_cast<size_t>(e)]));
    }
    return out;
  }

  Vector logits(int32_t id, const Omission& omit = {}) const {
    const Vector table = values("model.embed_tokens.weight");
    Vector h(table.begin() + id * hidden, table.begin() + (id + 1) * hidden);
    for (double& v : h) v *= 2.828125;  // sqrt(8) in bfloat16
    for (int layer = 0; layer < 2; layer++) {
      const std::string at = "model.layers." + std::to_string(layer) + ".";
      Vector r = h;
      accumulate(r, norm(at + "post_attention_layernorm", attention(at, norm(at + "input_layernorm", h), head_dim(layer))));
      const Vector x = norm(at + "pre_feedforward_layernorm", r);
      const Vector dense =
          times(at + "mlp.down_proj.weight", gated(times(at + "mlp.gate_proj.weight", x), times(at + "mlp.up_proj.weight", x)));
      const Vector routed = mixture(at, r, norm(at + "pre_feedforward_layernorm_2", r), omit);
      const char *one = omit.swapped_norms ? "_2" : "_1", *two = omit.swapped_norms ? "_1" : "_2";
      Vector both = norm(at + "post_feedforward_layernorm" + two, routed);
      if (!omit.dense) accumulate(both, norm(at + "post_feedforward_layernorm" + one, dense));
      accumulate(r, norm(at + "post_feedforward_layernorm", both));
      const double scalar = values(at + "layer_scalar")[0];
      for (double& v : r) v *= scalar;
      h = r;
    }
    return times("model.embed_tokens.weight", norm("model.norm", h));
  }

  /// Largest difference between the model's logits and those of the formulas, of all tokens, relative to the largest logit.
  double error(Model& model, const Omission& omit = {}) {
    double worst = 0, largest = 0;
    model.allocate_cache({1, 1});
    for (int32_t id = 0; id < vocab; id++) {
      const auto got = model.forward({{id}, {0}, {0, 1}, {{0}, {0}}, {0}});
      const Vector want = logits(id, omit);
      for (size_t i = 0; i < want.size(); i++) {
        if (!std::isfinite(got[i])) return INFINITY;
        worst = std::max(worst, std::abs(static_cast<double>(got[i]) - want[i]));
        largest = std::max(largest, std::abs(want[i]));
      }
    }
    return worst / largest;
  }

  std::unique_ptr<Model> load(int ranks = 1, Fusion fusion = Fusion::On) const {
    ModelOptions options;
    options.threads = 2;
    options.ranks = ranks;
    options.fusion = fusion;
    return load_model(checkpoint, options);
  }

  Checkpoint checkpoint;
};

TEST_F(Gemma4Mixture, EqualsTheFormulas) {
  for (int ranks : {1, 2})
    for (Fusion fusion : {Fusion::On, Fusion::Off}) EXPECT_LE(error(*load(ranks, fusion)), 1e-5) << ranks;
}

TEST_F(Gemma4Mixture, EveryPartOfTheFormulasMatters) {
  const auto model = load();
  for (const Omission& omit : {Omission{.router_norm = true}, Omission{.router_scale = true}, Omission{.expert_scale = true},
                               Omission{.renormalise = true}, Omission{.swapped_norms = true}, Omission{.dense = true}})
    EXPECT_GT(error(*model, omit), 1e-4);  // of what scales all experts alike the norm behind leaves little
}

TEST_F(Gemma4Mixture, IsTheSameFromGguf) {
  Json header = Json::object();
  std::string data;
  for (const StoredTensor& t : checkpoint.tensors) {
    const auto* bytes = reinterpret_cast<const char*>(t.data);
    std::vector<int64_t> shape;
    for (int i = 0; i < t.shape.rank(); i++) shape.push_back(t.shape[i]);
    header[t.name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {data.size(), data.size() + static_cast<size_t>(t.bytes)}}};
    data.append(bytes, static_cast<size_t>(t.bytes));
  }
  const testutil::TemporaryFolder folder;
  Json json = config();
  json["model_type"] = "gemma4_text";
  folder.write("config.json", json.dump());
  folder.write("model.safetensors", testutil::little_endian<uint64_t>(header.dump().size()) + header.dump() + data);
  convert_to_gguf({folder.path(), folder / "x.gguf", std::nullopt, 1, {}});
  const Checkpoint gguf = open_checkpoint(folder / "x.gguf");
  ModelOptions options;
  options.threads = 1;
  EXPECT_LE(error(*load_model(gguf, options)), 1e-5);
}

TEST_F(Gemma4Mixture, NeedsItsKeys) {
  for (const char* key : {"num_experts", "top_k_experts", "moe_intermediate_size"}) {
    Json json = config();
    json.erase(key);
    checkpoint.config_json = json.dump();
    EXPECT_NE(test::error_of([&] { load(); }).find("a required key is missing: " + std::string(key)), std::string::npos) << key;
  }
  Json json = config();
  json["top_k_experts"] = experts + 1;
  checkpoint.config_json = json.dump();
  EXPECT_NE(test::error_of([&] { load(); }).find("top_k_experts are some of num_experts: 6 5"), std::string::npos);
}

}  // namespace
}  // namespace infernum
