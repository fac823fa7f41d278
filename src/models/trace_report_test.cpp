// The trace of a tiny Llama against counts worked out by hand: order, scopes, parts per rank, collectives, FLOPs, bytes and memory.
#include "models/trace_report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "models/loader.h"
#include "models/test_models.h"

namespace infernum {
namespace {

using test::tiny_llama;

TraceReport trace(int ranks = 1, int64_t tokens = 5, const nlohmann::json& config = tiny_llama()) {
  ModelOptions options;
  options.ranks = ranks;
  return trace_model(test::checkpoint_of(config), options, tokens, /*headers_only=*/true);
}

std::vector<std::string> ops(const TraceGraph& graph) {
  std::vector<std::string> list;
  for (const TraceNode& n : graph.nodes) list.push_back(n.scope + n.op);
  return list;
}

std::map<std::string, Shape> weights(const TraceGraph& graph) {
  std::map<std::string, Shape> shapes;
  for (const TraceValue& v : graph.values)
    if (v.kind == TraceValue::Kind::Weight) shapes[v.name] = v.shape;
  return shapes;
}

std::vector<std::string> expected_ops(bool collectives) {
  std::vector<std::string> list{"embed", "rope_table"};
  const auto add = [&](const std::vector<std::string>& names) { list.insert(list.end(), names.begin(), names.end()); };
  for (int layer = 0; layer < 2; layer++) {
    add({"rms_norm", "matmul", "matmul", "matmul", "rope_append/rope", "rope_append/rope", "rope_append/cache_append", "attention",
         "matmul"});
    if (collectives) add({"all_reduce"});
    add({"add_rms_norm/add", "add_rms_norm/rms_norm", "matmul", "matmul", "swiglu/silu", "swiglu/mul", "matmul"});
    if (collectives) add({"all_reduce"});
    add({"add"});
  }
  add({"take_rows", "rms_norm", "matmul"});
  if (collectives) add({"all_gather"});
  return list;
}

TEST(TraceReport, OpsComeInTheOrderOfTheNetwork) {
  const auto report = trace();
  EXPECT_EQ(ops(report.prefill.graph), expected_ops(false)) << "one rank needs no collective";
  EXPECT_EQ(ops(report.decode.graph), expected_ops(false));
  EXPECT_EQ(report.prefill.tokens, 5);
  EXPECT_EQ(report.decode.tokens, 1);
  EXPECT_EQ(report.decode.context, 6);
}

TEST(TraceReport, TwoRanksReduceTwiceALayerAndGatherOnce) {
  const auto report = trace(2);
  EXPECT_EQ(ops(report.prefill.graph), expected_ops(true));
  const auto list = ops(report.decode.graph);
  EXPECT_EQ(std::count(list.begin(), list.end(), "all_reduce"), 4);
  EXPECT_EQ(std::count(list.begin(), list.end(), "all_gather"), 1);
}

TEST(TraceReport, WeightsAreThisRanksParts) {
  const auto whole = weights(trace(1).prefill.graph), half = weights(trace(2).prefill.graph);
  for (const auto& [name, shape] : test::tiny_llama_tensors()) {
    ASSERT_TRUE(whole.count(name) && half.count(name)) << name;
    EXPECT_EQ(whole.at(name), shape) << name;
  }
  const std::string layer = "model.layers.1.";
  EXPECT_EQ(half.at(layer + "self_attn.q_proj.weight"), (Shape{8, 8}));
  EXPECT_EQ(half.at(layer + "self_attn.k_proj.weight"), (Shape{4, 8}));
  EXPECT_EQ(half.at(layer + "self_attn.o_proj.weight"), (Shape{8, 8}));
  EXPECT_EQ(half.at(layer + "mlp.up_proj.weight"), (Shape{6, 8}));
  EXPECT_EQ(half.at(layer + "mlp.down_proj.weight"), (Shape{8, 6}));
  EXPECT_EQ(half.at(layer + "input_layernorm.weight"), (Shape{8})) << "norms are whole";
  EXPECT_EQ(half.at("lm_head.weight"), (Shape{5, 8}));
  EXPECT_EQ(half.at("model.embed_tokens.weight"), (Shape{10, 8}));
}

TEST(TraceReport, MatrixProductsCostTwoFlopsPerWeightAndToken) {
  for (int ranks : {1, 2}) {
    const auto report = trace(ranks);
    double matmul = 0;
    for (const TraceNode& n : report.prefill.graph.nodes)
      if (n.op == "matmul") matmul += n.cost.flops;
    const double layer = 2. * 5 * (16 * 8 + 8 * 8 + 8 * 8 + 8 * 16 + 3 * 12 * 8);
    EXPECT_EQ(matmul, (2 * layer + 2. * 1 * 10 * 8) / ranks) << "the head sees one row";
    for (const TraceNode& n : report.prefill.graph.nodes) {
      if (n.op != "matmul") continue;
      const auto& values = report.prefill.graph.values;
      const Shape &y = values[static_cast<size_t>(n.outputs[0])].shape, &w = values[static_cast<size_t>(n.inputs[1])].shape;
      EXPECT_EQ(n.cost.flops, 2. * static_cast<double>(y[0] * w[0] * w[1]));
    }
  }
}

TEST(TraceReport, DecodingReadsLittleButTheWeights) {
  auto config = tiny_llama();
  config["hidden_size"] = 256;
  config["intermediate_size"] = 512;
  config["head_dim"] = 64;
  config["vocab_size"] = 1000;
  const auto report = trace(1, 16, config);
  // Norms and rotary frequencies in F32; of the table of embeddings one row is read.
  const int64_t h = 256, layer = (256 + 128 + 128 + 256) * h + 3 * 512 * h, read = 2 * layer + 1000 * h;
  EXPECT_EQ(report.weight_bytes(), 2 * (read + 1000 * h) + 4 * 5 * h);
  EXPECT_GT(report.decode.bytes(), 2. * static_cast<double>(read));
  EXPECT_LT(report.decode.bytes(), 2.2 * static_cast<double>(read));
  EXPECT_GT(report.prefill.flops(), 10 * report.decode.flops());
}

TEST(TraceReport, ATiedMatrixCountsOnce) {
  auto tied = tiny_llama();
  tied["tie_word_embeddings"] = true;
  EXPECT_EQ(trace().weight_bytes() - trace(1, 5, tied).weight_bytes(), 10 * 8 * 2);
}

TEST(TraceReport, PeakMemoryIsThatOfTheWidestMoment) {
  Queue<Trace> queue;
  Device<Trace> device;
  device.queue = &queue;
  {
    const Tensor<Trace> a(device, {3, 5}, DType::F32);  // 60 bytes
    {
      const Tensor<Trace> b(device, {10}, DType::F16), c(device, {1}, DType::F32);  // 20 and 4
      const Tensor<Trace> part = a.columns(1, 3);                                   // shares a
    }
    const Tensor<Trace> d(device, {2}, DType::F32);
  }
  EXPECT_EQ(queue.graph.peak_activation_bytes, 84);
  EXPECT_EQ(queue.ledger->live, 0) << "everything was let go";

  // Floats alive for one token. h, the table of angles and the normed x live through a layer: 8 + 4 + 8. Attention adds q, k, v, the
  // rotated q and k and its result: 16 + 8 + 8 + 16 + 8 + 16. The MLP adds attention's output, the sum, its norm, gate, up, silu and the
  // product: 8 + 8 + 8 + 12 + 12 + 12 + 12, as much.
  EXPECT_EQ(trace(1, 1).prefill.graph.peak_activation_bytes, 4 * 92);
  EXPECT_EQ(trace(1, 5).prefill.graph.peak_activation_bytes, 4 * 92 * 5);
  // On two ranks the MLP's parts are half as wide, and its widest moment is that of the down projection: 20 + 24 + 6 + 6 + 6 + 8.
  EXPECT_EQ(trace(2, 1).prefill.graph.peak_activation_bytes, 4 * 70);
}

TEST(TraceReport, EveryInputWasProducedBefore) {
  for (int ranks : {1, 2}) {
    const auto report = trace(ranks);
    const TraceGraph& graph = report.prefill.graph;
    std::vector<bool> known(graph.values.size());
    for (size_t i = 0; i < graph.values.size(); i++) known[i] = graph.values[i].kind != TraceValue::Kind::Activation;
    for (const TraceNode& n : graph.nodes) {
      ASSERT_FALSE(n.outputs.empty());
      for (int v : n.inputs) {
        ASSERT_TRUE(v >= 0 && v < static_cast<int>(known.size())) << n.op;
        ASSERT_TRUE(known[static_cast<size_t>(v)]) << n.op << " reads %" << v;
      }
      for (int v : n.outputs) known[static_cast<size_t>(v)] = true;
    }
  }
}

TEST(TraceReport, FusedFormsStandForTheirParts) {
  const auto report = trace();
  const TraceGraph& graph = report.prefill.graph;
  const auto names = [&](bool cuda, bool fusion) {
    std::map<std::string, int> counts;
    for (const TraceNode* n : executed_nodes(graph, cuda, fusion)) counts[n->op]++;
    return counts;
  };
  const auto fused = names(false, true), parts = names(false, false);
  EXPECT_EQ(fused.at("swiglu"), 2);
  EXPECT_EQ(fused.at("add_rms_norm"), 2);
  EXPECT_EQ(fused.count("silu") + fused.count("mul"), 0u);
  EXPECT_EQ(fused.at("rope"), 4) << "the CPU has no fused form of rope_append";
  EXPECT_EQ(parts.at("silu"), 2);
  EXPECT_EQ(parts.count("swiglu"), 0u);
  for (const TraceNode* n : executed_nodes(graph, false, true)) {
    EXPECT_TRUE(n->runs_on(false)) << n->op;
    const double row = 5 * 4;  // bytes of a column of five tokens
    if (n->op == "swiglu") {
      EXPECT_EQ(n->cost.bytes, 3 * 12 * row) << "gate and up are read, the product written";
    }
    if (n->op == "add_rms_norm") {
      EXPECT_EQ(n->cost.bytes, 4 * 8 * row + 8 * 4) << "two inputs, two outputs and the weight";
    }
  }
}

TEST(TraceReport, JsonHoldsTheGraph) {
  const auto report = trace(2);
  const TraceGraph& graph = report.prefill.graph;
  const auto json = nlohmann::json::parse(to_json(graph));
  ASSERT_EQ(json["values"].size(), graph.values.size());
  ASSERT_EQ(json["nodes"].size(), graph.nodes.size());
  EXPECT_EQ(json["peak_activation_bytes"], graph.peak_activation_bytes);
  EXPECT_EQ(json["nodes"][0]["op"], "embed");
  EXPECT_EQ(json["nodes"][11]["scope"], "");
  EXPECT_EQ(json["nodes"][13]["scope"], "add_rms_norm/");
  for (size_t i = 0; i < graph.nodes.size(); i++) {
    EXPECT_EQ(json["nodes"][i]["flops"], graph.nodes[i].cost.flops);
    EXPECT_EQ(json["nodes"][i]["inputs"].get<std::vector<int>>(), graph.nodes[i].inputs);
  }
  std::map<std::string, int> kinds;
  for (const auto& v : json["values"]) kinds[v["kind"].get<std::string>()]++;
  EXPECT_EQ(kinds["cache"], 4);
  EXPECT_EQ(kinds["input"], 5);
  EXPECT_GE(kinds["weight"], 21);
  EXPECT_GT(kinds["activation"], 20);
}

TEST(TraceReport, DotNamesEveryNodeAndBalances) {
  const auto report = trace();
  const std::string dot = to_dot(report.prefill.graph);
  EXPECT_EQ(std::count(dot.begin(), dot.end(), '{'), 1);
  EXPECT_EQ(std::count(dot.begin(), dot.end(), '}'), 1);
  EXPECT_EQ(std::count(dot.begin(), dot.end(), '['), std::count(dot.begin(), dot.end(), ']'));
  EXPECT_EQ(std::count(dot.begin(), dot.end(), '"') % 2, 0);
  EXPECT_EQ(dot.rfind("digraph", 0), 0u);
  for (size_t i = 0; i < report.prefill.graph.nodes.size(); i++)
    EXPECT_NE(dot.find("n" + std::to_string(i) + " [label=\""), std::string::npos);
  EXPECT_NE(dot.find("swiglu/silu"), std::string::npos);
  EXPECT_NE(dot.find("model.layers.1.mlp.down_proj.weight\\nBF16 (8, 12)"), std::string::npos);
}

TEST(Trace, PartsOfAValueAreThatValue) {
  Queue<Trace> queue;
  Device<Trace> device;
  device.queue = &queue;
  const Tensor<Trace> a(device, {4, 64}, DType::F32), b(device, {1}, DType::F32);
  EXPECT_EQ(queue.value_at(a.rows(3, 4).columns(60, 64).view().data), 0);
  EXPECT_EQ(queue.value_at(b.view().data), 1);
  EXPECT_EQ(queue.value_at(a.columns(64, 64).view().data), 0) << "an empty part at the end, too";
  EXPECT_EQ(queue.value_at(nullptr), -1);
}

}  // namespace
}  // namespace infernum
