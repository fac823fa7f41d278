// Every family through a GGUF file: the checkpoint that comes back has the tensors and the configuration of the one that went in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "checkpoint/checkpoint.h"
#include "checkpoint/convert.h"
#include "checkpoint/gguf.h"
#include "checkpoint/gguf_family.h"
#include "checkpoint/test_files.h"
#include "quant/quant.h"

namespace infernum {
namespace {

using nlohmann::json;
using testutil::TemporaryFolder;

const std::string models = INFERNUM_BINARY_DIR "/data/models/";

struct Matrix {
  std::vector<int64_t> shape;
  std::vector<float> values;
};
using Tensors = std::map<std::string, Matrix>;

Matrix matrix_of(const StoredTensor& tensor) {
  Matrix m;
  for (int i = 0; i < tensor.shape.rank(); ++i) m.shape.push_back(tensor.shape[i]);
  m.values.resize(static_cast<size_t>(tensor.shape.elements()));
  dequantize(tensor.dtype, tensor.data, m.values.data(), tensor.shape.elements());
  return m;
}

/// What the checkpoint looks like once it has been in a file: written down here without a look at the tables of the conversion.
class Canonical {
 public:
  Canonical(const Checkpoint& from) : config_(json::parse(from.config_json)), type_(config_["model_type"]) {
    for (const StoredTensor& tensor : from.tensors)
      if (!(tensor.name == "lm_head.weight" && config_.value("tie_word_embeddings", false))) add(tensor.name, matrix_of(tensor));
    for (const auto& [name, experts] : experts_) {
      Matrix all{{static_cast<int64_t>(experts.size()), experts.begin()->second.shape[0], experts.begin()->second.shape[1]}, {}};
      for (const auto& [index, expert] : experts) all.values.insert(all.values.end(), expert.values.begin(), expert.values.end());
      tensors[name] = all;
    }
  }
  Tensors tensors;

 private:
  int64_t number(const char* key) const { return config_[key].get<int64_t>(); }
  static bool has(const std::string& name, std::string_view part) { return name.find(part) != name.npos; }
  static std::string replaced(std::string name, std::string_view from, std::string_view to) {
    return name.replace(name.find(from), from.size(), to);
  }

  /// Output row r is row order[r].
  static Matrix rows(const Matrix& m, const std::vector<int64_t>& order) {
    const auto length = static_cast<int64_t>(m.values.size()) / m.shape[0];
    Matrix out{m.shape, {}};
    out.shape[0] = static_cast<int64_t>(order.size());
    for (const int64_t r : order) out.values.insert(out.values.end(), m.values.begin() + r * length, m.values.begin() + (r + 1) * length);
    return out;
  }
  static Matrix pairs(const Matrix& m, int64_t heads) {
    std::vector<int64_t> order;
    const int64_t dim = m.shape[0] / heads;
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < dim / 2; ++i)
        for (int64_t j = 0; j < 2; ++j) order.push_back(h * dim + j * dim / 2 + i);
    return rows(m, order);
  }
  /// [k0 v0, k0 v1, k1 v0, ...] -> [k0 v0, k1 v0, k0 v1, ...], for rows behind the first `from`.
  std::vector<int64_t> tiled(int64_t from, int64_t dim) const {
    const int64_t keys = number("linear_num_key_heads"), ratio = number("linear_num_value_heads") / keys;
    std::vector<int64_t> order;
    for (int64_t r = 0; r < from; ++r) order.push_back(r);
    for (int64_t v = 0; v < ratio; ++v)
      for (int64_t k = 0; k < keys; ++k)
        for (int64_t d = 0; d < dim; ++d) order.push_back(from + (k * ratio + v) * dim + d);
    return order;
  }
  static Matrix transposed(const Matrix& m) {
    Matrix out{{m.shape[1], m.shape[0]}, std::vector<float>(m.values.size())};
    for (int64_t i = 0; i < m.shape[0]; ++i)
      for (int64_t j = 0; j < m.shape[1]; ++j)
        out.values[static_cast<size_t>(j * m.shape[0] + i)] = m.values[static_cast<size_t>(i * m.shape[1] + j)];
    return out;
  }
  /// Of each expert (a, b) the columns begin, begin + step, ... as rows.
  static Matrix columns(const Matrix& m, int64_t begin, int64_t step, int64_t count) {
    const int64_t a = m.shape[1], b = m.shape[2];
    Matrix out{{m.shape[0], count, a}, {}};
    for (int64_t e = 0; e < m.shape[0]; ++e)
      for (int64_t c = 0; c < count; ++c)
        for (int64_t i = 0; i < a; ++i) out.values.push_back(m.values[static_cast<size_t>((e * a + i) * b + begin + c * step)]);
    return out;
  }

  void add_latent(const std::string& name, const Matrix& m) {
    const int64_t heads = number("num_attention_heads"), nope = number("qk_nope_head_dim"), v = number("v_head_dim"), rank = m.shape[1];
    Matrix keys{{heads, rank, nope}, {}}, values{{heads, v, rank}, {}};
    for (int64_t h = 0; h < heads; ++h) {
      const auto begin = m.values.begin() + h * (nope + v) * rank, middle = begin + nope * rank;
      const Matrix k = transposed({{nope, rank}, {begin, middle}});
      keys.values.insert(keys.values.end(), k.values.begin(), k.values.end());
      values.values.insert(values.values.end(), middle, middle + v * rank);
    }
    tensors[replaced(name, "kv_b_proj", "k_b_proj")] = keys;
    tensors[replaced(name, "kv_b_proj", "v_b_proj")] = values;
  }

  void add_qkvz(const std::string& name, const Matrix& m) {
    const int64_t dk = number("linear_key_head_dim"), keys = number("linear_num_key_heads"),
                  dv = number("linear_num_value_heads") / keys * number("linear_value_head_dim"), group = 2 * (dk + dv);
    std::vector<int64_t> qkv, z;
    for (const auto& [begin, size] : {std::pair(int64_t{0}, dk), {dk, dk}, {2 * dk, dv}})
      for (int64_t k = 0; k < keys; ++k)
        for (int64_t i = 0; i < size; ++i) qkv.push_back(k * group + begin + i);
    for (int64_t k = 0; k < keys; ++k)
      for (int64_t i = 0; i < dv; ++i) z.push_back(k * group + 2 * dk + dv + i);
    tensors[replaced(name, "qkvz", "qkv")] = rows(m, qkv);
    tensors[replaced(name, "qkvz", "z")] = rows(m, z);
  }

  /// Fused experts of gpt_oss and llama4. True if it was one.
  bool add_fused(const std::string& name, const Matrix& m) {
    const bool interleaved = type_ == "gpt_oss";
    if (!interleaved && type_ != "llama4_text") return false;
    if (name.ends_with("gate_up_proj")) {
      const int64_t half = m.shape[2] / 2, step = interleaved ? 2 : 1, up = interleaved ? 1 : half;
      tensors[replaced(name, "gate_up_proj", "gate_proj.weight")] = columns(m, 0, step, half);
      tensors[replaced(name, "gate_up_proj", "up_proj.weight")] = columns(m, up, step, half);
    } else if (name.ends_with("gate_up_proj_bias")) {
      const Matrix wide{{1, m.shape[0], m.shape[1]}, m.values};
      for (const int64_t part : {0, 1}) {
        Matrix bias = columns(wide, part, 2, m.shape[1] / 2);
        bias = transposed({{bias.shape[1], bias.shape[2]}, bias.values});
        tensors[replaced(name, "gate_up_proj_bias", part ? "up_proj.bias" : "gate_proj.bias")] = bias;
      }
    } else if (name.ends_with("experts.down_proj")) {
      tensors[name + ".weight"] = columns(m, 0, 1, m.shape[2]);
    } else if (name.ends_with("experts.down_proj_bias")) {
      tensors[replaced(name, "down_proj_bias", "down_proj.bias")] = m;
    } else {
      return false;
    }
    return true;
  }

  void add(const std::string& name, Matrix m) {
    static const std::set<std::string> permuted = {"llama", "mistral", "mixtral", "ministral3", "smollm3", "granite"};
    if (const size_t at = name.find("experts."); at != name.npos && std::isdigit(static_cast<unsigned char>(name[at + 8]))) {
      const size_t dot = name.find('.', at + 8);
      experts_[name.substr(0, at + 8) + name.substr(dot + 1)][std::stoi(name.substr(at + 8))] = m;
      return;
    }
    if (name.ends_with("kv_b_proj.weight")) return add_latent(name, m);
    if (name.ends_with("in_proj_qkvz.weight")) return add_qkvz(name, m);
    if (add_fused(name, m)) return;
    if (permuted.count(type_) && has(name, "q_proj")) m = pairs(m, number("num_attention_heads"));
    if (permuted.count(type_) && has(name, "k_proj")) m = pairs(m, number("num_key_value_heads"));
    if ((type_ == "qwen3_5_text" || type_ == "qwen3_5_moe_text") && has(name, "linear_attn")) m = tile(name, m);
    tensors[name] = std::move(m);
  }

  Matrix tile(const std::string& name, const Matrix& m) const {
    const int64_t dim = number("linear_value_head_dim"), qk = 2 * number("linear_num_key_heads") * number("linear_key_head_dim");
    if (has(name, "in_proj_qkv") || has(name, "conv1d")) return rows(m, tiled(qk, dim));
    if (has(name, "in_proj_z")) return rows(m, tiled(0, dim));
    if (has(name, "out_proj")) return transposed(rows(transposed(m), tiled(0, dim)));
    return has(name, "linear_attn.norm") ? m : rows(m, tiled(0, 1));
  }

  json config_;
  std::string type_;
  std::map<std::string, std::map<int, Matrix>> experts_;
};

/// Norms with 1 added and decays are rounded to F32 on their way.
void expect_equal(const Matrix& got, const Matrix& expected, const std::string& name) {
  EXPECT_EQ(got.shape, expected.shape) << name;
  ASSERT_EQ(got.values.size(), expected.values.size()) << name;
  const bool rounded = name.find("norm") != name.npos || name.ends_with("A_log");
  for (size_t i = 0; i < got.values.size(); ++i) ASSERT_NEAR(got.values[i], expected.values[i], rounded ? 4e-7 : 0) << name << " " << i;
}

bool same(const json& a, const json& b) {
  if (a.is_number() && b.is_number()) return std::abs(a.get<double>() - b.get<double>()) <= 1e-6 * std::abs(a.get<double>());
  if (!a.is_array() || !b.is_array()) return a == b;
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
}

/// Every key of `before`, but for the ignored ones, has the same value in `after`; null is the same as absent.
void expect_keys(const json& before, const json& after, const std::set<std::string>& ignored, const std::string& where) {
  for (const auto& [key, value] : before.items()) {
    if (key == "partial_rotary_factor" && !after.contains(key)) {  // made where it is not 1, among the rope parameters
      EXPECT_TRUE(value == 1.0 || where.empty()) << where;
      continue;
    }
    if (ignored.count(key) || (value.is_null() && !after.contains(key))) continue;
    if (value.is_object()) {
      ASSERT_TRUE(after.contains(key)) << where << key;
      expect_keys(value, after[key], ignored, where + key + ".");
    } else if (!after.contains(key)) {
      ADD_FAILURE() << where << key << " = " << value << " is missing";
    } else {
      EXPECT_TRUE(same(value, after[key])) << where << key << ": " << value << " became " << after[key];
    }
  }
}

struct Case {
  const char* folder;
  std::set<std::string> ignored;  ///< keys that the family's file cannot have or need not have
};

class GgufFamilies : public ::testing::TestWithParam<Case> {};

const Case cases[] = {
    {"llama-gqa", {}},
    {"llama2-mha", {}},
    {"llama-bias", {}},
    {"mistral-swa", {}},
    {"mixtral", {}},
    {"qwen2-tied", {"layer_types", "max_window_layers", "sliding_window"}},
    {"qwen3", {"layer_types", "max_window_layers", "sliding_window"}},
    {"qwen3-moe", {"num_local_experts", "sliding_window"}},
    {"cohere2", {}},
    {"deepseek-v2", {"mlp_bias"}},
    {"deepseek-v3", {}},
    {"deepseek-v3-noqlora", {}},
    {"ernie4_5", {}},
    {"gemma2", {"attention_bias", "use_bidirectional_attention"}},
    {"gemma3-text", {"attention_bias", "use_bidirectional_attention"}},
    {"gemma4-text", {"attention_bias", "use_bidirectional_attention", "per_layer_config"}},
    {"glm4", {}},
    {"glm4-moe", {}},
    {"gpt-oss", {}},
    {"granite", {}},
    {"hunyuan-dense", {"eod_token_id"}},
    {"llama4-text", {"no_rope_layer_interval"}},
    {"ministral3", {}},
    {"olmo2", {}},
    {"olmo3", {}},
    {"phi3", {}},
    {"phi3-longrope", {}},
    {"phi4-partial", {}},
    {"qwen3-next", {}},
    {"qwen3_5-text", {}},
    {"qwen3_5-moe-text", {}},
    {"seed-oss", {}},
    {"smollm3", {"layer_types", "sliding_window"}},
};

INSTANTIATE_TEST_SUITE_P(All, GgufFamilies, ::testing::ValuesIn(cases), [](const auto& p) {
  std::string name = p.param.folder;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST_P(GgufFamilies, ComeBackAsTheyWere) {
  const TemporaryFolder folder;
  const Checkpoint from = open_checkpoint(models + GetParam().folder);
  convert_to_gguf({models + GetParam().folder, folder / "out.gguf", std::nullopt, 1, {}});
  const Checkpoint to = open_checkpoint(folder / "out.gguf");

  const Tensors expected = Canonical(from).tensors;
  for (const auto& [name, matrix] : expected) {
    const StoredTensor* got = to.tensors.find(name);
    if (got)
      expect_equal(matrix_of(*got), matrix, name);
    else
      ADD_FAILURE() << name << " is missing";
  }
  for (const StoredTensor& tensor : to.tensors) EXPECT_EQ(expected.count(tensor.name), 1u) << tensor.name;
  EXPECT_EQ(to.eos_token_ids, from.eos_token_ids);

  const json before = json::parse(from.config_json), after = json::parse(to.config_json);
  std::set<std::string> ignored = GetParam().ignored;
  for (const char* key : {"attention_dropout", "dtype", "embd_pdrop", "eos_token_id", "initializer_range", "num_nextn_predict_layers",
                          "output_router_logits", "pretraining_tp", "resid_pdrop", "residual_dropout", "router_aux_loss_coef",
                          "router_jitter_noise", "transformers_version", "use_cache", "_sliding_window_pattern"})
    ignored.insert(key);
  expect_keys(before, after, ignored, "");
}

TEST_P(GgufFamilies, EitherSpellingOfTheConfigurationGivesTheSame) {
  const std::string model = models + GetParam().folder + "/", legacy = model + "config.legacy.json";
  if (!std::filesystem::exists(legacy)) return;  // families younger than transformers 5
  const TemporaryFolder folder;
  folder.write("model.safetensors", testutil::bytes_of_file(model + "model.safetensors"));
  folder.write("config.json", testutil::bytes_of_file(legacy));
  folder.write("generation_config.json", testutil::bytes_of_file(model + "generation_config.json"));
  convert_to_gguf({model, folder / "new.gguf", std::nullopt, 1, {}});
  convert_to_gguf({folder.path(), folder / "old.gguf", std::nullopt, 1, {}});
  EXPECT_EQ(json::parse(open_checkpoint(folder / "old.gguf").config_json), json::parse(open_checkpoint(folder / "new.gguf").config_json));
}

TEST(GgufFamilyTable, IsCovered) {
  std::set<std::string> covered;
  for (const Case& c : cases) covered.insert(json::parse(open_checkpoint(models + c.folder).config_json)["model_type"]);
  for (const GgufFamily& family : gguf_families()) EXPECT_EQ(covered.count(std::string(family.model_type)), 1u) << family.model_type;
}

}  // namespace
}  // namespace infernum
