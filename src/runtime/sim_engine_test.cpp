// SimEngine: the contract of engines at its simplest, and its speed.
#include "runtime/sim_engine.h"

#include <gtest/gtest.h>

#include "core/check.h"
#include "runtime/engine_test_support.h"

namespace infernum {
namespace {

using test::Receiver;

EngineRequest request_of(std::vector<int32_t> prompt, int64_t max_tokens) {
  EngineRequest r;
  r.prompt = std::move(prompt);
  r.max_tokens = max_tokens;
  return r;
}

TEST(SimEngine, EchoesScriptsAndCycles) {
  const auto run = [](SimEngineOptions::Tokens mode, int64_t max_tokens, EndReason expected) {
    SimEngineOptions options;
    options.tokens = mode;
    options.script = {7, 8, 9};
    SimEngine engine(options);
    Receiver receiver(engine);
    EXPECT_EQ(engine.submit(1, request_of({1, 2}, max_tokens)), Admission::Accepted);
    receiver.wait_for(1);
    EXPECT_EQ(receiver.end(1).reason, expected);
    return receiver.tokens(1);
  };
  EXPECT_EQ(run(SimEngineOptions::Tokens::Echo, 5, EndReason::Length), (std::vector<int32_t>{1, 2, 1, 2, 1}));
  EXPECT_EQ(run(SimEngineOptions::Tokens::Script, 5, EndReason::Stop), (std::vector<int32_t>{7, 8, 9}));
  EXPECT_EQ(run(SimEngineOptions::Tokens::Script, 2, EndReason::Length), (std::vector<int32_t>{7, 8}));
  EXPECT_EQ(run(SimEngineOptions::Tokens::Cycle, 4, EndReason::Length), (std::vector<int32_t>{7, 8, 9, 7}));
}

TEST(SimEngine, KeepsItsTimes) {
  SimEngineOptions options;
  options.time_to_first_token = std::chrono::milliseconds(30);
  options.inter_token_time = std::chrono::milliseconds(10);
  SimEngine engine(options);
  Receiver receiver(engine);
  engine.submit(1, request_of({1}, 5));
  receiver.wait_for(1);
  const RequestBill bill = receiver.end(1).bill;
  EXPECT_GE(bill.prefill_seconds, 0.03);
  EXPECT_GE(bill.decode_seconds, 0.04);
  EXPECT_LT(bill.queue_seconds, 0.02);
  EXPECT_EQ(bill.generated_tokens, 5);
}

TEST(SimEngine, StopsAtStopIdsAfterTheLeastTokens) {
  SimEngine engine({});
  Receiver receiver(engine);
  auto r = request_of({1, 2, 3}, 100);
  r.stop_ids = {3};
  engine.submit(1, r);
  r.min_tokens = 4;
  engine.submit(2, r);
  receiver.wait_for(2);
  EXPECT_EQ(receiver.tokens(1), (std::vector<int32_t>{1, 2, 3}));
  EXPECT_EQ(receiver.tokens(2), (std::vector<int32_t>{1, 2, 3, 1, 2, 3}));
}

TEST(SimEngine, BoundsItsQueueAndCancels) {
  SimEngineOptions options;
  options.max_num_seqs = 1;
  options.max_queue = 2;
  options.time_to_first_token = std::chrono::seconds(30);
  SimEngine engine(options);
  Receiver receiver(engine);
  for (RequestId id = 1; id <= 3; id++) EXPECT_EQ(engine.submit(id, request_of({1}, 5)), Admission::Accepted);
  EXPECT_EQ(engine.submit(4, request_of({1}, 5)), Admission::QueueFull);
  engine.cancel(2);
  engine.cancel(99);
  receiver.wait_for(1);
  EXPECT_EQ(receiver.end(2).reason, EndReason::Cancelled);
  auto late = request_of({1}, 5);
  late.queue_deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
  EXPECT_EQ(engine.submit(5, late), Admission::Accepted);
  receiver.wait_for(2);
  EXPECT_EQ(receiver.end(5).reason, EndReason::QueueTimeout);
  engine.stop();
  engine.stop();
  EXPECT_EQ(receiver.end(1).reason, EndReason::Shutdown);
  EXPECT_EQ(receiver.end(3).reason, EndReason::Shutdown);
  EXPECT_EQ(engine.submit(6, request_of({1}, 5)), Admission::Stopped);
  EXPECT_EQ(engine.stats().state, EngineState::Stopped);
  EXPECT_EQ(engine.stats().running + engine.stats().waiting, 0);
}

TEST(SimEngine, FaultsHappenAsOrdered) {
  SimEngineOptions options;
  options.faults = Faults::parse("request:1:throw,request:2:nan,submit:4:full,step:8:die");
  SimEngine engine(options);
  Receiver receiver(engine);
  for (RequestId id = 1; id <= 3; id++) EXPECT_EQ(engine.submit(id, request_of({1}, 1000)), Admission::Accepted);
  EXPECT_EQ(engine.submit(4, request_of({1}, 1000)), Admission::QueueFull);
  receiver.wait_for(3);
  EXPECT_EQ(receiver.end(1).reason, EndReason::Fault);
  EXPECT_EQ(receiver.end(2).reason, EndReason::NotFinite);
  EXPECT_EQ(receiver.end(3).reason, EndReason::Fault);
  engine.stop();
  EXPECT_EQ(engine.stats().state, EngineState::Failed);
  EXPECT_EQ(engine.submit(5, request_of({1}, 1)), Admission::Stopped);
}

TEST(SimEngine, ALostDeviceEndsEveryRequest) {
  SimEngineOptions options;
  options.faults = Faults::parse("request:1:oom,step:8:lost");
  SimEngine engine(options);
  Receiver receiver(engine);
  for (RequestId id = 1; id <= 3; id++) EXPECT_EQ(engine.submit(id, request_of({1}, 1000)), Admission::Accepted);
  receiver.wait_for(3);
  EXPECT_EQ(receiver.end(1).reason, EndReason::OutOfMemory);
  for (RequestId id = 2; id <= 3; id++) {
    EXPECT_EQ(receiver.end(id).reason, EndReason::DeviceLost);
    EXPECT_EQ(receiver.end(id).message, "the device that the engine computes on was lost: on order");
  }
  engine.stop();
  EXPECT_EQ(engine.stats().state, EngineState::Failed);
}

TEST(SimEngine, ThousandsOfRequestsGetHalfAMillionTokensPerSecond) {
  SimEngineOptions options;
  options.max_num_seqs = 4096;
  SimEngine engine(options);
  Receiver receiver(engine, false);
  const auto start = std::chrono::steady_clock::now();
  for (RequestId id = 1; id <= 2000; id++) ASSERT_EQ(engine.submit(id, request_of({1, 2, 3}, 500)), Admission::Accepted);
  receiver.wait_for(2000);
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  EXPECT_EQ(receiver.count(), 1'000'000);
  std::printf("  %.0f tokens/s\n", 1e6 / took);
  EXPECT_LT(took, 20) << "a machine may be busy, but not so busy";
}

}  // namespace
}  // namespace infernum
