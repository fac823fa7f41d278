#include "models/synthetic.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <random>

#include "checkpoint/convert.h"
#include "core/check.h"
#include "quant/quant.h"

namespace infernum {
namespace {

struct PublishedShape {
  std::string_view name, architecture;
  int hidden, intermediate, layers, heads, kv_heads, head_dim, vocab;
  double rope_theta;
  bool tied;
  int experts = 0, experts_per_token = 0, expert_width = 0;
  std::string_view rest = {};  ///< further keys
};

// From the models' own config.json files.
constexpr PublishedShape shapes[] = {
    {"llama-3.2-1b", "LlamaForCausalLM", 2048, 8192, 16, 32, 8, 64, 128256, 5e5, true},
    {"llama-3.2-3b", "LlamaForCausalLM", 3072, 8192, 28, 24, 8, 128, 128256, 5e5, true},
    {"llama-3.1-8b", "LlamaForCausalLM", 4096, 14336, 32, 32, 8, 128, 128256, 5e5, false},
    {"mistral-7b", "MistralForCausalLM", 4096, 14336, 32, 32, 8, 128, 32768, 1e6, false},
    {"qwen2.5-0.5b", "Qwen2ForCausalLM", 896, 4864, 24, 14, 2, 64, 151936, 1e6, true},
    {"qwen3-0.6b", "Qwen3ForCausalLM", 1024, 3072, 28, 16, 8, 128, 151936, 1e6, true},
    {"qwen3-4b", "Qwen3ForCausalLM", 2560, 9728, 36, 32, 8, 128, 151936, 1e6, true},
    {"qwen3-8b", "Qwen3ForCausalLM", 4096, 12288, 36, 32, 8, 128, 151936, 1e6, false},
    {"qwen3-30b-a3b", "Qwen3MoeForCausalLM", 2048, 6144, 48, 32, 4, 128, 151936, 1e6, false, 128, 8, 768},
    {"qwen3.5-4b", "Qwen3_5ForCausalLM", 2560, 9216, 32, 16, 4, 256, 248320, 1e7, true},
    {"deepseek-v2-lite", "DeepseekV2ForCausalLM", 2048, 10944, 27, 16, 16, 64, 102400, 1e4, false, 0, 0, 0,
     R"("q_lora_rank": null, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "n_routed_experts": 64, "num_experts_per_tok": 6, "n_shared_experts": 2, "moe_intermediate_size": 1408,
        "first_k_dense_replace": 1, "rope_scaling": {"type": "yarn", "factor": 40, "mscale": 0.707, "mscale_all_dim": 0.707,
        "original_max_position_embeddings": 4096})"},
    {"gpt-oss-20b", "GptOssForCausalLM", 2880, 2880, 24, 64, 8, 64, 201088, 150000, false, 0, 0, 0,
     R"("num_local_experts": 32, "num_experts_per_tok": 4, "rope_scaling": {"rope_type": "yarn", "factor": 32, "truncate": false,
        "original_max_position_embeddings": 4096})"},
};

/// "name" or "name/layers".
struct ShapeName {
  std::string_view name;
  int layers = 0;
};

ShapeName parse(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return {text};
  const std::string_view digits = text.substr(slash + 1);
  ShapeName shape{text.substr(0, slash)};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), shape.layers);
  check(error == std::errc() && end == digits.data() + digits.size() && shape.layers > 0,
        "bench: a number of layers stands behind the slash of a shape", text);
  return shape;
}

}  // namespace

std::vector<std::string_view> shape_names() {
  std::vector<std::string_view> names;
  for (const auto& s : shapes) names.push_back(s.name);
  return names;
}

std::string shape_config(std::string_view text) {
  const auto [name, layers] = parse(text);
  std::string known;
  for (const auto& s : shapes) {
    known += (known.empty() ? "" : ", ") + std::string(s.name);
    if (s.name != name) continue;
    const auto field = [](const char* key, double value) { return std::string(", \"") + key + "\": " + describe(value); };
    std::string json = "{\"architectures\": [\"" + std::string(s.architecture) + "\"]" + field("hidden_size", s.hidden) +
                       field("intermediate_size", s.intermediate) +
                       field("num_hidden_layers", layers ? std::min(layers, s.layers) : s.layers) + field("num_attention_heads", s.heads) +
                       field("num_key_value_heads", s.kv_heads) + field("head_dim", s.head_dim) + field("vocab_size", s.vocab) +
                       field("max_position_embeddings", 8192) + field("rope_theta", s.rope_theta) +
                       ", \"rms_norm_eps\": 1e-5, \"sliding_window\": null" + ", \"tie_word_embeddings\": " + (s.tied ? "true" : "false");
    if (s.experts)
      json += field("num_experts", s.experts) + field("num_experts_per_tok", s.experts_per_token) +
              field("moe_intermediate_size", s.expert_width) + ", \"norm_topk_prob\": true";
    if (!s.rest.empty()) json += ", " + std::string(s.rest);
    return json + "}";
  }
  fail("bench: no such shape", name, "; known:", known);
}

bool SyntheticSource::has(const std::string& name) const {
  return name.find(".experts.") != std::string::npos && name.ends_with("_proj.weight") && !name.ends_with("gate_up_proj.weight");
}

StoredTensor SyntheticSource::read(const std::string& name, const Shape& shape) {
  StoredTensor t;
  t.name = name;
  t.shape = shape;
  t.dtype = shape.rank() == 1 ? DType::F32 : fallback_type(dtype_, shape.last());
  t.bytes = bytes_of(t.dtype, shape.elements());
  if (headers_only_) return t;
  auto data = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(t.bytes));
  const auto& source = pattern(t.dtype);
  const auto unit = static_cast<size_t>(info(t.dtype).bytes);
  size_t from = std::hash<std::string>{}(name) % (source.size() / unit) * unit;  // tensors differ, but only by where they begin
  for (size_t done = 0; done < data->size();) {
    const size_t n = std::min(source.size() - from, data->size() - done);
    std::memcpy(data->data() + done, source.data() + from, n);
    done += n;
    from = 0;
  }
  t.data = data->data();
  t.owner = std::move(data);
  return t;
}

const std::vector<std::byte>& SyntheticSource::pattern(DType dtype) {
  auto& bytes = patterns_[dtype];
  if (!bytes.empty()) return bytes;
  constexpr int64_t elements = int64_t{1} << 20;
  std::mt19937 rng(1);
  std::normal_distribution<float> normal(0, 0.02f);
  std::vector<float> values(elements);
  for (float& v : values) v = normal(rng);
  bytes.resize(static_cast<size_t>(bytes_of(dtype, elements)));
  quantize(dtype, values.data(), bytes.data(), elements);
  return bytes;
}

}  // namespace infernum
