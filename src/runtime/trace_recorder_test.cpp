// TraceRecorder: its file is JSON with the spans of what happened, and a full disk ends the trace alone.
#include "runtime/trace_recorder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "runtime/engine_test_support.h"
#include "runtime/fake_model.h"
#include "runtime/model_engine.h"

namespace infernum {
namespace {

std::string temporary(const std::string& name) { return (std::filesystem::path(testing::TempDir()) / name).string(); }

nlohmann::json read(const std::string& path) {
  std::ifstream in(path);
  return nlohmann::json::parse(in);
}

void run_requests(const std::shared_ptr<TraceRecorder>& trace) {
  ModelEngineOptions options;
  options.max_num_seqs = 2;
  options.cache_tokens = 320;
  options.trace = trace;
  ModelEngine engine(std::make_shared<test::FakeModel>(std::vector<Retention>{{}}), options);
  test::Receiver receiver(engine);
  for (RequestId id = 1; id <= 3; id++) {
    EngineRequest r;
    r.prompt = {1, 2, 3};
    r.max_tokens = 4;
    ASSERT_EQ(engine.submit(id, r), Admission::Accepted);
  }
  receiver.wait_for(3);
  for (RequestId id = 1; id <= 3; id++) EXPECT_EQ(receiver.tokens(id).size(), 4u);
}

TEST(TraceRecorder, WritesStepsRequestsAndOps) {
  const std::string path = temporary("infernum_trace.json");
  run_requests(std::make_shared<TraceRecorder>(path));
  const auto trace = read(path);
  std::map<std::string, int> names;
  std::map<std::string, int> open;
  for (const auto& e : trace.at("traceEvents")) {
    if (e.empty()) continue;
    if (e.at("ph") == "X") {
      names[e.at("name")]++;
      EXPECT_GE(e.at("dur").get<double>(), 0);
    }
    const std::string key = e.at("name").get<std::string>() + e.value("id", nlohmann::json(0)).dump();
    if (e.at("ph") == "b") open[key]++, names[e.at("name")]++;
    if (e.at("ph") == "e") open[key]--;
  }
  EXPECT_GE(names["step"], 4);
  EXPECT_EQ(names["step"], names["model"]);
  EXPECT_EQ(names["step"], names["fake"]) << "the model's op";
  for (const char* span : {"request", "queued", "prefill", "decode"}) EXPECT_EQ(names[span], 3) << span;
  for (const auto& [key, n] : open) EXPECT_EQ(n, 0) << key;
}

TEST(TraceRecorder, AFullDiskEndsTheTraceAlone) {
  const auto trace = std::make_shared<TraceRecorder>("/dev/full");
  run_requests(trace);
  for (int i = 0; trace->writing() && i < 100000; i++) trace->op({"op", {}, 0});  // past what is buffered
  EXPECT_FALSE(trace->writing());
  const std::string path = temporary("infernum_small_trace.json");
  const auto small = std::make_shared<TraceRecorder>(path, 500);
  run_requests(small);
  EXPECT_FALSE(small->writing());
  EXPECT_LE(std::filesystem::file_size(path), 500u);
  EXPECT_FALSE(read(path).at("traceEvents").empty()) << "what there is can be read";
}

TEST(TraceRecorder, OpsOfAGpuHaveALaneOfTheirOwn) {
  const std::string path = temporary("infernum_gpu_trace.json");
  const auto start = std::chrono::steady_clock::now();
  using std::chrono::milliseconds;
  {
    TraceRecorder trace(path);
    trace.op({"on_host", start + milliseconds(1), 2e-3});
    trace.op({"first", start + milliseconds(6), 1e-3, 0});
    trace.op({"second", start + milliseconds(8), 3e-3, 0});
    trace.op({"beside", start + milliseconds(7), 5e-3, 1});
  }
  std::map<int, std::string> lanes;
  std::map<std::string, nlohmann::json> spans;
  const auto written = read(path);
  for (const auto& e : written.at("traceEvents")) {
    if (e.value("name", "") == "thread_name") {
      EXPECT_TRUE(lanes.emplace(e.at("tid").get<int>(), e.at("args").at("name").get<std::string>()).second) << "a lane is named once";
    } else if (e.value("ph", "") == "X") {
      spans[e.at("name").get<std::string>()] = e;
    }
  }
  const auto lane = [&](const char* op) { return lanes.at(spans.at(op).at("tid").get<int>()); };
  EXPECT_EQ(lane("on_host"), "ops");
  EXPECT_EQ(lane("first"), "GPU 0");
  EXPECT_EQ(lane("second"), "GPU 0");
  EXPECT_EQ(lane("beside"), "GPU 1");
  const auto at = [&](const char* op) { return spans.at(op).at("ts").get<double>(); };
  EXPECT_NEAR(at("first") - at("on_host"), 5000, 0.01) << "all lanes count from one moment";
  EXPECT_NEAR(at("beside") - at("first"), 1000, 0.01);
  EXPECT_NEAR(spans.at("second").at("dur").get<double>(), 3000, 0.01);
}

TEST(TraceRecorder, NamesAFileThatCannotBeOpened) {
  try {
    TraceRecorder("/nowhere/trace.json");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("/nowhere/trace.json No such file"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace infernum
