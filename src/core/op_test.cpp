// begin_timing() and end_timing(): the host's clock where work is done when the call returns; the queue's own where it is not.
#include "core/op.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace infernum {

struct AtOnce;
struct Behind;
template <>
struct Queue<AtOnce> {};
/// Work behind the host's back: notes what it is given.
template <>
struct Queue<Behind> {
  std::vector<std::string> calls;
  void begin_op(std::string_view op) { calls.push_back("begin " + std::string(op)); }
  void end_op() { calls.push_back("end"); }
};

namespace {

TEST(OpTiming, TellsWhenTheHostRanAnOp) {
  Queue<AtOnce> queue;
  Device<AtOnce> device;
  device.queue = &queue;
  std::vector<OpTime> told;
  device.op_timer = [&](const OpTime& t) { told.push_back(t); };
  const auto before = std::chrono::steady_clock::now();
  auto inside = before;
  const auto start = begin_timing(device, "x");
  EXPECT_TRUE(told.empty());
  while ((inside = std::chrono::steady_clock::now()) == before) {}
  end_timing(device, "x", start);
  const auto after = std::chrono::steady_clock::now();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].op, "x");
  EXPECT_EQ(told[0].gpu, -1);
  EXPECT_GE(told[0].start, before);
  EXPECT_GE(told[0].seconds, std::chrono::duration<double>(inside - told[0].start).count());
  EXPECT_LE(told[0].seconds, std::chrono::duration<double>(after - before).count());
}

TEST(OpTiming, LeavesTheTimeToAQueueWithAClock) {
  Queue<Behind> queue;
  Device<Behind> device;
  device.queue = &queue;
  device.op_timer = [&](const OpTime&) { FAIL() << "not yet known"; };
  const auto start = begin_timing(device, "x");
  queue.calls.push_back("work");
  end_timing(device, "x", start);
  EXPECT_EQ(queue.calls, (std::vector<std::string>{"begin x", "work", "end"}));
}

}  // namespace
}  // namespace infernum
