// family<Config, Net>(): instantiates a network on every backend and makes its row of the table. Included by one .cpp per family.
#pragma once
#include "backends/trace/trace.h"
#include "core/build.h"
#include "models/config.h"

#include "models/family.h"
#include "models/local_model.h"

namespace infernum {

template <class Config>
Config read_config(const ConfigReader& json, std::string_view family, const ModelOptions& options) {
  Config config(json);
  check(options.ranks >= 1, "tensor parallelism: at least one rank", options.ranks);
  check(config.num_key_value_heads % options.ranks == 0, "tensor parallelism: key-value heads must divide among the ranks",
        config.num_key_value_heads, options.ranks);
  if (options.max_model_len > 0) config.context = options.max_model_len;
  for (RopeConfig& rope : config.ropes) rope.bf16_frequencies = options.bf16_frequencies;
  check_unread(json, family);
  return config;
}

/// Runs one step of the traced network: `tokens` new tokens of one sequence that is then `context` long.
template <class Config, template <class> class Net>
TraceStep trace_step(ModelInfo& m, std::string_view family, const Config& config, WeightSource& source, const ModelOptions& options,
                     StepSize size) {
  const auto [tokens, context] = size;
  check(tokens > 0 && context >= tokens, "trace: a step has tokens, and its context holds them", tokens, context);
  Queue<Trace> queue;
  const DType activations = options.place.cuda ? activation_dtype<Cuda>(options) : activation_dtype<Cpu>(options);
  Device<Trace> device{&queue, 0, options.ranks, Fusion::On, activations, options.cache_dtype, {}, {}, {}};
  const Net<Trace> net{Weights<Trace>(device, source), config};
  m = describe_model(family, config, net, options);
  const auto input = [&](std::string_view name, const Shape& shape, DType dtype, TraceValue::Kind kind) {
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
  for (size_t g = 0; g < m.groups.size(); g++) batch.block_tables.push_back(input("block_table", {1, blocks}, DType::I32, Input));
  std::vector<LayerState<Trace>> states;
  for (size_t i = 0; i < m.states.size(); i++) {
    LayerState<Trace>& state = states.emplace_back();
    state.group = m.state_group[i];
    for (const StatePart& part : m.states[i].parts)
      state.parts.push_back(input(part.name, part.block.prepended(blocks), part.exact ? DType::F32 : options.cache_dtype, Cache));
  }
  net(batch, states);
  return {tokens, context, std::move(queue.graph)};
}

template <class Config, template <class> class Net>
Family family(std::string_view name, std::vector<std::string_view> architectures, std::vector<std::string_view> text_models = {}) {
  Family f{name, std::move(architectures), std::move(text_models), nullptr, nullptr, nullptr};
  f.trace_step = [name](const ConfigReader& json, WeightSource& source, const ModelOptions& options, StepSize size) {
    const auto config = read_config<Config>(json, name, options);
    ModelInfo info;
    return trace_step<Config, Net>(info, name, config, source, options, size);
  };
  f.trace = [name](const ConfigReader& json, WeightSource& source, const ModelOptions& options, int64_t tokens) {
    const auto config = read_config<Config>(json, name, options);
    TraceReport r;
    r.ignored_keys = unknown_keys(json);
    r.prefill = trace_step<Config, Net>(r.info, name, config, source, options, {tokens, tokens});
    r.decode = trace_step<Config, Net>(r.info, name, config, source, options, {1, tokens + 1});
    return r;
  };
  f.load = [name](const ConfigReader& json, WeightSource& source, const ModelOptions& options) -> std::unique_ptr<Model> {
    const auto config = read_config<Config>(json, name, options);
    if constexpr (has_cuda)
      if (options.place.cuda) return std::make_unique<LocalModel<Cuda, Net<Cuda>>>(name, config, source, options);
    return std::make_unique<LocalModel<Cpu, Net<Cpu>>>(name, config, source, options);
  };
  return f;
}

}  // namespace infernum
