// Every op of a traced step runs again on the CPU, alone, on operands of its own.
#include "models/op_replay.h"

#include <gtest/gtest.h>

#include <cmath>

#include "backends/cpu/transfer.h"
#include "models/loader.h"
#include "models/test_models.h"

namespace infernum {
namespace {

constexpr float poison = 12345;

struct On {
  Queue<Cpu> queue{2};
  Device<Cpu> device;
  On() { device.queue = &queue; }
};

TraceStep traced(StepSize size) { return trace_step(test::checkpoint_of(test::tiny_llama()), {}, size); }

std::vector<float> values_of(On& on, const View<Cpu>& v) { return to_host(on.queue, v); }

/// y = x * w^T in double precision, from what the op itself was given.
void expect_product(On& on, const OpReplay<Cpu>& replay, int64_t turn) {
  const View<Cpu>&y = replay.view(turn, 0), &x = replay.view(turn, 1), &w = replay.view(turn, 2);
  const auto got = values_of(on, y), in = values_of(on, x), weight = values_of(on, w);
  const int64_t n = w.rows(), k = w.cols();
  for (int64_t i = 0; i < y.elements(); i++) {
    double want = 0;
    for (int64_t j = 0; j < k; j++)
      want += static_cast<double>(in[static_cast<size_t>(i / n * k + j)]) * static_cast<double>(weight[static_cast<size_t>(i % n * k + j)]);
    EXPECT_NEAR(got[static_cast<size_t>(i)], want, 1e-4) << "element " << i;
  }
}

TEST(OpReplay, RunsEveryOpOfAStep) {
  for (const StepSize size : {StepSize{5, 5}, StepSize{1, 20}, StepSize{3, 40}})
    for (const bool fusion : {true, false}) {
      On on;
      SyntheticOperands operands;
      const TraceStep step = traced(size);
      for (const TraceNode* node : executed_nodes(step.graph, false, fusion)) {
        SCOPED_TRACE(node->scope + node->op);
        ASSERT_TRUE(node->runs_on(false));
        OpReplay<Cpu> replay(on.device, step, *node, operands, 3, int64_t{1} << 20);
        ASSERT_EQ(replay.turns(), 3);
        for (int64_t turn = 0; turn < 3; turn++) {
          const View<Cpu> first = replay.view(turn, 0);
          const bool cache = step.graph.values[static_cast<size_t>(node->arguments[0].value)].kind == TraceValue::Kind::Cache;
          if (!cache && first.dtype == DType::F32) std::fill_n(first.as<float>(), first.elements(), poison);
          replay.run(turn);
          if (first.dtype != DType::F32) continue;
          for (const float v : values_of(on, first)) {
            EXPECT_TRUE(std::isfinite(v));
            EXPECT_NE(v, poison);
          }
          if (node->op == "matmul") expect_product(on, replay, turn);
        }
        EXPECT_NE(replay.view(0, 0).data, replay.view(1, 0).data) << "operands rotate";
        EXPECT_EQ(replay.view(0, 0).data, replay.view(3, 0).data);
      }
    }
}

TEST(OpReplay, LargeValuesHaveNoCopiesAndTurnsReadOtherRows) {
  On on;
  SyntheticOperands operands;
  const TraceStep step = traced({2, 2});
  const TraceNode& embed = step.graph.nodes.front();
  ASSERT_EQ(embed.op, "embed");
  OpReplay<Cpu> replay(on.device, step, embed, operands, 4, 10);  // the table of 320 bytes or less is larger than these caches
  EXPECT_EQ(replay.view(0, 1).data, replay.view(1, 1).data);
  EXPECT_NE(values_of(on, replay.view(0, 2)), values_of(on, replay.view(1, 2)));
  for (int64_t turn = 0; turn < 4; turn++)
    for (const float id : values_of(on, replay.view(turn, 2))) {
      EXPECT_GE(id, 0);
      EXPECT_LT(id, 10);
    }
}

TEST(OpReplay, TurnsGoThroughTheCaches) {
  TraceNode node;
  node.cost.bytes = 1000;
  EXPECT_EQ(turns_through(node, 10'000, 100), 10);
  EXPECT_EQ(turns_through(node, 10'001, 100), 11);
  EXPECT_EQ(turns_through(node, 1'000'000, 100), 100);
  EXPECT_EQ(turns_through(node, 10, 100), 1);
  node.cost.bytes = 0;
  EXPECT_EQ(turns_through(node, 1 << 20, 16), 16);
}

}  // namespace
}  // namespace infernum
