// family<Config, Net>(): instantiates a network on every backend and makes its row of the table. Included by one .cpp per family.
#pragma once
#include <algorithm>
#include <string>

#include "backends/trace/trace.h"
#include "models/config.h"
#include "models/cpu_model.h"
#include "models/family.h"

namespace infernum {

/// What the runtime needs to know, from any config that describes its layers as DecoderConfig does.
template <class Config>
ModelInfo describe_model(std::string_view family, const Config& c, const ModelOptions& options) {
  ModelInfo m{std::string(family), c.vocab_size, c.hidden_size, c.num_hidden_layers, c.context, {}, {}, {}, options.cache_dtype};
  check(options.ranks >= 1, "tensor parallelism: at least one rank", options.ranks);
  check(c.num_key_value_heads % options.ranks == 0, "tensor parallelism: key-value heads must divide among the ranks",
        c.num_key_value_heads, options.ranks);
  for (int window : c.windows) {
    m.cache.push_back({c.num_key_value_heads, c.head_dim, window});
    const auto known = std::find(m.group_windows.begin(), m.group_windows.end(), window);
    m.layer_group.push_back(static_cast<int>(known - m.group_windows.begin()));
    if (known == m.group_windows.end()) m.group_windows.push_back(window);
  }
  return m;
}

template <class Config>
Config read_config(const ConfigReader& json, std::string_view family, const ModelOptions& options) {
  Config config(json);
  if (options.max_model_len > 0) config.context = options.max_model_len;
  check_unread(json, family);
  return config;
}

/// Runs one step of the traced network: `tokens` new tokens of one sequence that is then `context` long.
template <class Config, template <class> class Net>
TraceStep trace_step(const ModelInfo& m, const Config& config, WeightSource& source, const ModelOptions& options, int64_t tokens,
                     int64_t context) {
  Queue<Trace> queue;
  Device<Trace> device{&queue, 0, options.ranks, Fusion::On, options.dtype, options.cache_dtype, {}, {}, {}};
  const Net<Trace> net{Weights<Trace>(device, source), config};
  const auto input = [&](const char* name, const Shape& shape, DType dtype, TraceValue::Kind kind) {
    queue.next_name = name;
    queue.kind = kind;
    Tensor<Trace> t(device, shape, dtype);
    queue.kind = TraceValue::Kind::Activation;
    queue.next_name.clear();
    return t;
  };
  using enum TraceValue::Kind;
  const int64_t blocks = (context + block_tokens - 1) / block_tokens;
  Batch<Trace> batch{input("ids", {tokens}, DType::I32, Input),    input("positions", {tokens}, DType::I32, Input),
                     input("query_start", {2}, DType::I32, Input), {},
                     input("out_rows", {1}, DType::I32, Input),    context};
  for (size_t g = 0; g < m.group_windows.size(); g++) batch.block_tables.push_back(input("block_table", {1, blocks}, DType::I32, Input));
  std::vector<KvLayer<Trace>> cache;
  for (size_t i = 0; i < m.cache.size(); i++) {
    const int64_t heads = m.cache[i].kv_heads / options.ranks, d = m.cache[i].head_dim;
    cache.push_back({input("k_cache", {blocks, heads, d, block_tokens}, options.cache_dtype, Cache),
                     input("v_cache", {blocks, heads, block_tokens, d}, options.cache_dtype, Cache), m.layer_group[i]});
  }
  net(batch, cache);
  return {tokens, context, std::move(queue.graph)};
}

template <class Config, template <class> class Net>
Family family(std::string_view name, std::vector<std::string_view> architectures) {
  Family f{name, std::move(architectures), nullptr, nullptr};
  f.trace = [name](const ConfigReader& json, WeightSource& source, const ModelOptions& options, int64_t tokens) {
    const auto config = read_config<Config>(json, name, options);
    const ModelInfo m = describe_model(name, config, options);
    return TraceReport{m, options.ranks, trace_step<Config, Net>(m, config, source, options, tokens, tokens),
                       trace_step<Config, Net>(m, config, source, options, 1, tokens + 1)};
  };
  f.load = [name](const ConfigReader& json, WeightSource& source, const ModelOptions& options) -> std::unique_ptr<Model> {
    const auto config = read_config<Config>(json, name, options);
    return std::make_unique<CpuModel<Net<Cpu>>>(describe_model(name, config, options), config, source, options);
  };
  return f;
}

}  // namespace infernum
