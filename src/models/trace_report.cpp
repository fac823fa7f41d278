#include "models/trace_report.h"

#include <nlohmann/json.hpp>
#include <set>

namespace infernum {
namespace {

std::string label(const TraceGraph& graph, int value) {
  if (value < 0) return "?";
  const TraceValue& v = graph.values[static_cast<size_t>(value)];
  return v.name.empty() ? "%" + std::to_string(value) : v.name;
}

const char* kind_name(TraceValue::Kind kind) {
  switch (kind) {
    case TraceValue::Kind::Activation: return "activation";
    case TraceValue::Kind::Input: return "input";
    case TraceValue::Kind::Weight: return "weight";
    case TraceValue::Kind::Cache: return "cache";
  }
  return "";
}

}  // namespace

double TraceStep::flops() const {
  double sum = 0;
  for (const auto& n : graph.nodes) sum += n.cost.flops;
  return sum;
}

double TraceStep::bytes() const {
  double sum = 0;
  for (const auto& n : graph.nodes) sum += n.cost.bytes;
  return sum;
}

int64_t TraceReport::weight_bytes() const {
  int64_t sum = 0;
  std::set<std::string> seen;
  for (const auto& v : prefill.graph.values)
    if (is_checkpoint_weight(v) && seen.insert(v.name).second) sum += v.bytes();
  return sum;
}

std::string to_dot(const TraceGraph& graph) {
  std::string text = "digraph model {\n  rankdir=TB; node [shape=box, fontname=\"monospace\"];\n";
  std::set<int> shown;
  const auto show = [&](int v) {
    if (v < 0 || !shown.insert(v).second) return;
    const TraceValue& value = graph.values[static_cast<size_t>(v)];
    const bool plain = value.kind == TraceValue::Kind::Activation;
    text += "  v" + std::to_string(v) + " [label=\"" + label(graph, v) + "\\n" + describe(value.dtype) + " " + describe(value.shape) +
            "\"" + (plain ? ", shape=ellipse" : ", style=dashed") + "];\n";
  };
  for (size_t i = 0; i < graph.nodes.size(); i++) {
    const TraceNode& n = graph.nodes[i];
    const std::string id = "n" + std::to_string(i);
    text += "  " + id + " [label=\"" + n.scope + n.op + "\", style=filled, fillcolor=lightgrey];\n";
    for (int v : n.inputs) show(v), text += "  v" + std::to_string(v) + " -> " + id + ";\n";
    for (int v : n.outputs) show(v), text += "  " + id + " -> v" + std::to_string(v) + ";\n";
  }
  return text + "}\n";
}

std::string to_json(const TraceGraph& graph) {
  using Json = nlohmann::ordered_json;
  Json document{{"values", Json::array()}, {"nodes", Json::array()}, {"peak_activation_bytes", graph.peak_activation_bytes}};
  for (const auto& v : graph.values) {
    Json shape = Json::array();
    for (int i = 0; i < v.shape.rank(); i++) shape.push_back(v.shape[i]);
    document["values"].push_back(
        {{"name", v.name}, {"kind", kind_name(v.kind)}, {"dtype", info(v.dtype).name}, {"shape", shape}, {"bytes", v.bytes()}});
  }
  for (const auto& n : graph.nodes)
    document["nodes"].push_back(
        {{"op", n.op}, {"scope", n.scope}, {"inputs", n.inputs}, {"outputs", n.outputs}, {"flops", n.cost.flops}, {"bytes", n.cost.bytes}});
  return document.dump(1) + "\n";
}

}  // namespace infernum
