// TraceReport: what a model would do, derived by running it on the Trace backend: graph, weights, FLOPs, bytes, memory, collectives.
#pragma once
#include <iosfwd>
#include <string>
#include <vector>

#include "backends/trace/trace.h"
#include "models/model.h"

namespace infernum {

/// The last `tokens` tokens of one sequence that is then `context` long.
struct StepSize {
  int64_t tokens = 1, context = 1;
};

struct TraceStep {
  int64_t tokens, context;
  TraceGraph graph;
  double flops() const;
  double bytes() const;  ///< weights, cache and activations moved
};

/// Whether a value is a tensor of the checkpoint; constants that layers make themselves have names without a dot.
inline bool is_checkpoint_weight(const TraceValue& v) {
  return v.kind == TraceValue::Kind::Weight && v.name.find('.') != std::string::npos;
}

struct TraceReport {
  ModelInfo info;
  TraceStep prefill, decode;
  std::vector<std::string> ignored_keys;  ///< of config.json, unknown and without effect
  int64_t weight_bytes() const;           ///< one rank's, as stored; a tied matrix counts once
};

/// Graphviz and JSON forms of a graph: values, nodes in order, scopes.
std::string to_dot(const TraceGraph& graph);
std::string to_json(const TraceGraph& graph);

}  // namespace infernum
