// The load client against a server of known delays and faults: what it measures is what the server did.
#include "server/load/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/check.h"
#include "server/load/mock_server.h"
#include "server/load/summary.h"

namespace infernum::load {
namespace {

using Fault = MockServer::Fault;

std::vector<Outcome> drive(const MockServer& server, size_t requests, LoadPlan plan) {
  const std::string request = http_request(server.target(), "/v1/completions", "", "{\"prompt\":\"x\"}");
  return run_load(server.target(), std::vector<std::string>(requests, request), plan);
}

LoadPlan closed(int concurrency) {
  LoadPlan plan;
  plan.concurrency = concurrency;
  plan.timeout_seconds = 30;
  return plan;
}

TEST(LoadClient, MeasuresWhatTheServerTook) {
  MockServer server({0.03, 0.008, 10});
  const LoadPoint point = summarize(drive(server, 24, closed(4)), {});
  ASSERT_EQ(point.completed, 24u) << (point.failures.empty() ? "" : point.failures.begin()->first);
  const Spread first = spread(server.first_seconds()), gaps = spread(server.gap_seconds());
  EXPECT_EQ(server.gap_seconds().size(), 24u * 9);
  EXPECT_GE(point.ttft.p50, 0.03);
  EXPECT_NEAR(point.ttft.p50, first.p50, 0.01);
  EXPECT_NEAR(point.itl.p50, gaps.p50, 0.002);
  EXPECT_NEAR(point.itl.mean, gaps.mean, 0.002);
  EXPECT_NEAR(point.tpot.mean, gaps.mean, 0.002);
  EXPECT_NEAR(point.e2e.p50, first.p50 + 9 * gaps.mean, 0.02);
  EXPECT_EQ(point.output_tokens, 240);
  EXPECT_EQ(point.prompt_tokens, 96);
  EXPECT_EQ(server.connections(), 4);  // kept alive
}

TEST(LoadClient, OpenLoopSendsAtItsTimes) {
  MockServer server({0.002, 0.001, 3});
  LoadPlan plan = closed(1);
  plan.arrivals = poisson_arrivals(200, 60, 3);
  const auto outcomes = drive(server, 60, plan);
  double lateness = 0;
  for (size_t i = 0; i < 60; i++) {
    EXPECT_EQ(outcomes[i].failure, Failure::None) << outcomes[i].message;
    EXPECT_EQ(outcomes[i].intended, plan.arrivals[i]);
    EXPECT_GE(outcomes[i].sent, outcomes[i].intended);
    lateness += outcomes[i].sent - outcomes[i].intended;
  }
  EXPECT_LT(lateness / 60, 0.02);
}

TEST(LoadClient, WaitingForAConnectionCounts) {
  // 20 requests in 0.1 s for a server that takes 0.02 s each through one connection: the last waits for all others.
  MockServer server({0.02, 0, 1});
  LoadPlan plan = closed(1);
  plan.max_connections = 1;
  for (int i = 0; i < 20; i++) plan.arrivals.push_back(0.005 * i);
  const auto outcomes = drive(server, 20, plan);
  EXPECT_EQ(server.connections(), 1);
  for (size_t i = 0; i < 20; i++)
    EXPECT_GE(outcomes[i].first - outcomes[i].intended, 0.02 * static_cast<double>(i + 1) - 0.005 * static_cast<double>(i) - 0.001) << i;
}

TEST(LoadClient, WaitingInTheServerCounts) {
  MockServer server({0.02, 0, 1, Fault::None, 1, true});
  LoadPlan plan = closed(1);
  for (int i = 0; i < 10; i++) plan.arrivals.push_back(0);
  const auto outcomes = drive(server, 10, plan);
  double slowest = 0;
  for (const Outcome& outcome : outcomes) slowest = std::max(slowest, outcome.first - outcome.intended);
  EXPECT_GE(slowest, 0.2);
  EXPECT_EQ(server.connections(), 10);
}

TEST(LoadClient, NamesEveryFailure) {
  struct Case {
    Fault fault;
    Failure failure;
    const char* message;
  };
  for (const Case& c :
       {Case{Fault::Busy, Failure::Status, "queue is full"}, Case{Fault::CutStream, Failure::Closed, "closed"},
        Case{Fault::CutHead, Failure::Closed, "closed"}, Case{Fault::ErrorEvent, Failure::Stream, "engine fault"},
        Case{Fault::NoEnd, Failure::Incomplete, "finish_reason"}, Case{Fault::Garbage, Failure::Malformed, "no status line"},
        Case{Fault::NotJson, Failure::Malformed, "no JSON"}, Case{Fault::PlainJson, Failure::Malformed, "no stream"}}) {
    MockServer server({0, 0.001, 3, c.fault, 2});
    const auto outcomes = drive(server, 10, closed(1));
    for (size_t i = 0; i < 10; i++) {
      const Outcome& outcome = outcomes[i];
      EXPECT_EQ(outcome.failure, i % 2 ? c.failure : Failure::None) << c.message << ' ' << i << ": " << outcome.message;
      if (i % 2 == 0) continue;
      EXPECT_THAT(outcome.message, testing::HasSubstr(c.message));
      EXPECT_EQ(outcome.status == 429, c.fault == Fault::Busy);
    }
  }
}

TEST(LoadClient, GivesUpAfterTheTimeout) {
  MockServer server({0, 0, 1, Fault::Silent, 3});
  LoadPlan plan = closed(3);
  plan.timeout_seconds = 0.15;
  const auto outcomes = drive(server, 9, plan);
  int late = 0;
  for (const Outcome& outcome : outcomes) {
    if (outcome.failure == Failure::None) continue;
    EXPECT_EQ(outcome.failure, Failure::Timeout);
    EXPECT_GE(outcome.end - outcome.sent, 0.15);
    late++;
  }
  EXPECT_EQ(late, 3);
}

TEST(LoadClient, ClosedIdleConnectionsAreNoFailures) {
  // The server ends each connection right after an answer that promised to keep it.
  MockServer server({0, 0, 2, Fault::CloseAfter});
  for (const Outcome& outcome : drive(server, 30, closed(2))) EXPECT_EQ(outcome.failure, Failure::None) << outcome.message;
  EXPECT_EQ(server.requests(), 30);
}

TEST(LoadClient, SaysThatNobodyListens) {
  Target target = parse_url("http://127.0.0.1:1");
  EXPECT_THROW(run_load(target, {http_request(target, "/", "", "{}")}, closed(1)), Error);
  target.host = "name.invalid";
  EXPECT_THROW(run_load(target, {http_request(target, "/", "", "{}")}, closed(1)), Error);
}

}  // namespace
}  // namespace infernum::load
