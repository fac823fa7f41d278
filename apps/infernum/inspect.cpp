// `infernum inspect`: what a model is and what it would cost, from its config and headers alone.
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "models/loader.h"
#include "ops/batch.h"
#include "options.h"
#include "session.h"

namespace infernum::app {
namespace {

/// Weights by name, each once, as this rank would hold them.
std::vector<const TraceValue*> weights(const TraceGraph& graph) {
  std::map<std::string, const TraceValue*> by_name;
  for (const auto& v : graph.values)
    if (is_checkpoint_weight(v)) by_name.emplace(v.name, &v);
  std::vector<const TraceValue*> list;
  for (const auto& [name, value] : by_name) list.push_back(value);
  return list;
}

/// "62 x all_reduce, all_gather".
std::string collectives(const TraceGraph& graph) {
  std::vector<std::pair<std::string, int>> runs;
  for (const auto& n : graph.nodes)
    if (n.op.rfind("all_", 0) == 0) {
      if (runs.empty() || runs.back().first != n.op) runs.emplace_back(n.op, 0);
      runs.back().second++;
    }
  std::string text;
  for (const auto& [op, count] : runs) text += (text.empty() ? "" : ", ") + (count > 1 ? std::to_string(count) + " x " : "") + op;
  return text.empty() ? "none" : text;
}

void print_step(const char* name, const TraceStep& s) {
  const auto tokens = static_cast<double>(s.tokens);
  std::printf("%-12s %lld token%s at context %lld: %.3f GFLOP and %s per token, activations %s at most\n", name,
              static_cast<long long>(s.tokens), s.tokens == 1 ? "" : "s", static_cast<long long>(s.context), s.flops() / tokens / 1e9,
              human_bytes(s.bytes() / tokens).c_str(), human_bytes(static_cast<double>(s.graph.peak_activation_bytes)).c_str());
}

/// What the layers of a group see of a sequence.
std::string reach(const Retention& r, bool one) {
  const std::string see = one ? "sees " : "see ";
  switch (r.kind) {
    case Retention::Kind::All: return see + "all tokens";
    case Retention::Kind::Window: return see + "the last " + std::to_string(r.tokens) + " tokens";
    case Retention::Kind::Chunk: return see + (one ? "its" : "their") + " chunk of " + std::to_string(r.tokens) + " tokens";
    case Retention::Kind::Recurrent: return one ? "keeps a recurrent state" : "keep a recurrent state";
  }
  return "";
}

/// "4.0 KiB per token and 2.1 MiB per sequence; 2 layers see all tokens (k_cache, v_cache), 6 layers keep a recurrent state (...)".
std::string state_of(const ModelInfo& m) {
  std::string text;
  if (m.bytes_per_token() > 0) text = human_bytes(static_cast<double>(m.bytes_per_token())) + " per token";
  if (m.bytes_per_sequence() > 0)
    text += (text.empty() ? "" : " and ") + human_bytes(static_cast<double>(m.bytes_per_sequence())) + " per sequence";
  text += m.ranks > 1 ? ", all ranks;" : ";";
  for (size_t g = 0; g < m.groups.size(); g++) {
    int64_t layers = 0;
    std::string parts;
    for (size_t i = 0; i < m.states.size(); i++) {
      if (m.state_group[i] != static_cast<int>(g)) continue;
      if (layers++ > 0) continue;
      for (const StatePart& part : m.states[i].parts) parts += (parts.empty() ? "" : ", ") + std::string(part.name);
    }
    text += (g > 0 ? ", " : " ") + std::to_string(layers) + (layers == 1 ? " layer " : " layers ") + reach(m.groups[g], layers == 1);
    text += " (" + parts + ")";
  }
  return text;
}

nlohmann::ordered_json to_json(const TraceReport& r) {
  nlohmann::ordered_json json{{"family", r.info.family},
                              {"ranks", r.info.ranks},
                              {"layers", r.info.num_hidden_layers},
                              {"vocab_size", r.info.vocab_size},
                              {"context", r.info.context},
                              {"weight_bytes_per_rank", r.weight_bytes()},
                              {"state_bytes_per_token", r.info.bytes_per_token()},
                              {"state_bytes_per_sequence", r.info.bytes_per_sequence()},
                              {"ignored_keys", r.ignored_keys},
                              {"weights", nlohmann::ordered_json::array()}};
  for (const TraceValue* w : weights(r.prefill.graph))
    json["weights"].push_back({{"name", w->name}, {"dtype", info(w->dtype).name}, {"shape", describe(w->shape)}, {"bytes", w->bytes()}});
  for (const auto& [name, step] : {std::pair{"prefill", &r.prefill}, {"decode", &r.decode}})
    json[name] = {{"tokens", step->tokens},
                  {"context", step->context},
                  {"flops", step->flops()},
                  {"bytes", step->bytes()},
                  {"peak_activation_bytes", step->graph.peak_activation_bytes},
                  {"collectives", collectives(step->graph)}};
  return json;
}

}  // namespace

int inspect(const InspectFlags& flags) {
  const Checkpoint checkpoint = open_checkpoint(resolve_model(flags.model), Opening::HeadersOnly);
  const TraceReport r = trace_model(checkpoint, model_options(flags, checkpoint.config_json), flags.tokens, true);
  if (!flags.graph.empty()) {
    std::ofstream file(flags.graph);
    file << (flags.graph.ends_with(".json") ? infernum::to_json(r.prefill.graph) : to_dot(r.prefill.graph));
    check(static_cast<bool>(file), "inspect: cannot write the graph", flags.graph);
  }
  if (flags.json) {
    std::printf("%s\n", to_json(r).dump(1).c_str());
    return 0;
  }
  std::map<DType, std::pair<int, int64_t>> formats;
  int64_t parameters = 0;
  for (const TraceValue* w : weights(r.prefill.graph)) {
    auto& [count, bytes] = formats[w->dtype];
    count++;
    bytes += w->bytes();
    parameters += w->shape.elements();
    if (flags.tensors)
      std::printf("%-60s %-8s %-20s %12lld bytes\n", w->name.c_str(), describe(w->dtype).c_str(), describe(w->shape).c_str(),
                  static_cast<long long>(w->bytes()));
  }
  std::printf("%-12s %s, %lld layers, hidden %lld, vocabulary %lld, context %lld\n", "family", r.info.family.c_str(),
              static_cast<long long>(r.info.num_hidden_layers), static_cast<long long>(r.info.hidden_size),
              static_cast<long long>(r.info.vocab_size), static_cast<long long>(r.info.context));
  std::printf("%-12s %.3f billion%s, %s:", "parameters", static_cast<double>(parameters) / 1e9,
              r.info.ranks > 1 ? (" on each of " + std::to_string(r.info.ranks) + " ranks").c_str() : "",
              human_bytes(static_cast<double>(r.weight_bytes())).c_str());
  for (const auto& [dtype, use] : formats)
    std::printf(" %d x %s (%s)", use.first, describe(dtype).c_str(), human_bytes(static_cast<double>(use.second)).c_str());
  std::printf("\n%-12s %s\n", "state", state_of(r.info).c_str());
  print_step("prefill", r.prefill);
  print_step("decode", r.decode);
  std::printf("%-12s %s\n", "collectives", collectives(r.decode.graph).c_str());
  for (const std::string& key : r.ignored_keys) std::printf("%-12s unknown key of config.json: %s\n", "ignored", key.c_str());
  return 0;
}

}  // namespace infernum::app
