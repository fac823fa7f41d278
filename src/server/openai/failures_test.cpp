// Failures: engines that refuse, fail or stop, clients that go at random points, tenants side by side; and work on the worker threads.
#include <random>
#include <thread>

#include "server/openai/test_support.h"

namespace infernum::server::testing {
namespace {

struct Failure {
  EndReason reason;
  int status;
  const char* code;
  bool retry;
};
constexpr Failure all_failures[] = {
    {EndReason::QueueTimeout, 503, "queue_timeout", true}, {EndReason::Timeout, 504, "deadline_exceeded", true},
    {EndReason::Shutdown, 503, "draining", true},          {EndReason::NotFinite, 500, "engine_error", false},
    {EndReason::Fault, 500, "engine_error", false},        {EndReason::Cancelled, 500, "engine_error", false},
    {EndReason::OutOfMemory, 500, "out_of_memory", false}, {EndReason::DeviceLost, 500, "device_lost", false}};

std::string header(const HttpResponse& r, std::string_view name) {
  for (const auto& [known, value] : r.headers)
    if (known == name) return value;
  return "";
}

TEST(Failures, BeforeTheFirstTokenAreHttpErrors) {
  for (const Failure& f : all_failures)
    for (const char* stream : {"true", "false"}) {
      Bench b;
      const auto x = b.chat(R"("stream":)" + std::string(stream));
      b.engine.end(1, f.reason);
      b.run();
      ASSERT_TRUE(x->response);
      EXPECT_EQ(x->response->status, f.status);
      EXPECT_EQ(x->body()["error"]["code"], f.code);
      EXPECT_EQ(header(*x->response, "x-should-retry"), f.retry ? "" : "false");
      EXPECT_EQ(b.service->live(), 0u);
      ASSERT_EQ(b.records.size(), 1u);
      EXPECT_EQ(b.records[0].status, f.status);
    }
}

TEST(Failures, WithinAStreamAreEvents) {
  for (const Failure& f : all_failures) {
    Bench b;
    const auto x = b.chat(R"("stream":true,"n":2)");
    b.engine.step({event(1, {'a'})});
    b.engine.end(1, f.reason, "it broke");
    b.run();
    EXPECT_EQ(b.engine.cancelled, std::vector<RequestId>{2}) << "the other choice has nobody to read it";
    const auto events = x->events();
    EXPECT_EQ(events.back()["error"]["code"], f.code);
    EXPECT_TRUE(x->stream.ends_with("data: [DONE]\n\n"));
    EXPECT_EQ(b.service->live(), 1u) << "until the engine has let go";
    b.engine.step();
    b.run();
    EXPECT_EQ(b.service->live(), 0u);
    EXPECT_EQ(b.records.size(), 1u);
  }
}

TEST(Failures, MessagesOfTheEngineReachTheClient) {
  Bench b;
  const auto x = b.chat("");
  b.engine.end(1, EndReason::NotFinite, "the model computed NaN");
  b.run();
  EXPECT_EQ(x->body()["error"]["message"], "the model computed NaN");
}

TEST(Failures, EnginesThatTakeNoMore) {
  Bench b;
  b.engine.admission_ = Admission::QueueFull;
  b.engine.stats_.waiting = 40;
  const auto x = b.chat("");
  ASSERT_TRUE(x->response);
  EXPECT_EQ(x->response->status, 429);
  EXPECT_EQ(x->body()["error"]["code"], "queue_full");
  EXPECT_EQ(header(*x->response, "Retry-After"), "6") << "41 requests, 8 at a time, a second each";
  b.engine.accept_ = 2;
  const auto y = b.chat(R"("n":3)");
  EXPECT_EQ(y->response->status, 429);
  EXPECT_EQ(b.engine.cancelled.size(), 2u) << "all or none";
  b.engine.step();
  b.run();
  EXPECT_EQ(b.service->live(), 0u);
  b.engine.accept_ = SIZE_MAX;
  b.engine.admission_ = Admission::Stopped;
  const auto z = b.chat("");
  EXPECT_EQ(z->response->status, 503);
  EXPECT_EQ(z->body()["error"]["code"], "draining");
  b.engine.stats_.state = EngineState::Failed;
  EXPECT_EQ(b.chat("")->body()["error"]["code"], "engine_dead");
}

TEST(Failures, DeadlinesReachTheEngine) {
  ServiceOptions options;
  options.queue_seconds = 5;
  options.request_seconds = 60;
  Bench b(options);
  const auto before = std::chrono::steady_clock::now();
  b.chat("");
  const EngineRequest& r = b.engine.seen[0];
  ASSERT_TRUE(r.queue_deadline && r.deadline);
  EXPECT_NEAR(std::chrono::duration<double>(*r.queue_deadline - before).count(), 5, 1);
  EXPECT_NEAR(std::chrono::duration<double>(*r.deadline - before).count(), 60, 1);
  HttpRequest request;
  request.body = R"({"prompt":"a"})";
  request.headers = {{"x-infernum-deadline-ms", "2000"}, {"x-request-timeout", "nan"}};
  for (const Route& route : b.routes)
    if (route.path == "/v1/completions") route.handler(std::make_shared<FakeExchange>(request));
  EXPECT_NEAR(std::chrono::duration<double>(*b.engine.seen[1].deadline - before).count(), 2, 1);
}

TEST(Failures, ClientsThatGoLeaveNothingBehind) {
  std::mt19937 random(3);
  Bench b;
  std::vector<std::shared_ptr<FakeExchange>> clients;
  size_t started = 0;
  for (int step = 0; step < 3000; step++) {
    if (random() % 4 == 0 && b.engine.running.size() < 40) {
      const std::string n = std::to_string(1 + random() % 3);
      clients.push_back(
          b.chat("\"n\":" + n + ",\"stream\":" + (random() % 2 ? "true" : "false") + (random() % 3 ? "" : R"(,"stop":["c"])")));
      started++;
    }
    if (!clients.empty() && random() % 6 == 0) {
      const size_t i = random() % clients.size();
      clients[i]->leave();
      if (random() % 2) clients.erase(clients.begin() + static_cast<std::ptrdiff_t>(i));
    }
    std::vector<EngineEvent> events;
    for (const auto& [id, request] : b.engine.running) {
      const auto what = random() % 12;
      if (what < 8)
        events.push_back(event(id, {static_cast<int32_t>('a' + random() % 4)}));
      else if (what == 8)
        events.push_back(event(id, {end_token}, EndReason::Stop));
      else if (what == 9 && random() % 10 == 0)
        events.push_back(event(id, {}, EndReason::Fault));
    }
    b.engine.step(std::move(events));
    if (random() % 2) b.run();
  }
  for (const auto& client : clients) client->leave();
  b.run();
  b.engine.step();
  b.run();
  EXPECT_TRUE(b.engine.running.empty()) << "cancelled within a step";
  EXPECT_EQ(b.service->live(), 0u);
  EXPECT_EQ(b.records.size(), started) << "each request ends once";
  EXPECT_GT(started, 300u);
}

TEST(Failures, AGoneClientIsCancelledAtOnce) {
  Bench b;
  const auto x = b.chat(R"("n":2)");
  x->leave();
  EXPECT_EQ(b.engine.cancelled, (std::vector<RequestId>{1, 2}));
  EXPECT_EQ(b.records.at(0).status, 499);
  b.engine.step();
  b.run();
  EXPECT_EQ(b.service->live(), 0u);
  EXPECT_FALSE(x->complete());
}

TEST(Failures, TenantsDoNotSeeEachOther) {
  Bench b;
  const auto alice = b.post("/v1/completions", R"({"prompt":"a","stream":true,"stop":["S"]})", "alice");
  const auto bob = b.post("/v1/completions", R"({"prompt":"b","stream":true})", "bob");
  b.engine.step({event(1, bytes_as_ids("alic")), event(2, bytes_as_ids("bo"))});
  b.engine.step({event(2, bytes_as_ids("b")), event(1, bytes_as_ids("eS"))});
  b.engine.end(2, EndReason::Fault);
  b.run();
  b.engine.step();
  b.run();
  EXPECT_EQ(streamed_text(alice->events()), "alice");
  EXPECT_EQ(alice->events().back()["choices"][0]["finish_reason"], "stop") << "another's fault is none of its business";
  EXPECT_EQ(bob->events().back()["error"]["code"], "engine_error");
}

TEST(Failures, AServiceThatStopsAnswersEveryone) {
  FakeLoop loop;
  FakeEngine engine;
  auto service = std::make_unique<OpenAiService>(test_model(), engine, loop);
  HttpRequest request;
  request.body = R"({"prompt":"a","stream":true})";
  std::vector<std::shared_ptr<FakeExchange>> all;
  const auto routes = service->routes();
  const auto post = [&] {
    all.push_back(std::make_shared<FakeExchange>(request));
    for (const Route& r : routes)
      if (r.path == "/v1/completions") r.handler(all.back());
  };
  post();
  post();
  engine.step({event(1, {'a'})});
  loop.run();
  service.reset();
  post();
  engine.step({event(2, {'a'})});
  loop.run();
  EXPECT_EQ(all[0]->events().back()["error"]["code"], "draining");
  EXPECT_EQ(all[1]->response->status, 503);
  EXPECT_EQ(all[2]->response->status, 503);
}

TEST(Workers, ReadLongBodiesBesideTheLoop) {
  ServiceOptions options;
  options.inline_bytes = 0;
  options.workers = 2;
  Bench b(options);
  std::vector<std::shared_ptr<FakeExchange>> all;
  for (int i = 0; i < 50; i++) all.push_back(b.complete(i % 5 ? "" : "\"n\":99"));
  b.loop.run_until([&] { return b.engine.seen.size() == 40; });
  while (!b.engine.running.empty()) b.engine.say(b.engine.running.begin()->first, "ok");
  b.loop.run_until([&] { return std::all_of(all.begin(), all.end(), [](const auto& x) { return x->complete(); }); });
  for (size_t i = 0; i < all.size(); i++) EXPECT_EQ(all[i]->response->status, i % 5 ? 200 : 400);
  EXPECT_EQ(b.service->live(), 0u);
}

TEST(Workers, RefuseWhatWaitsTooLong) {
  ServiceOptions options;
  options.inline_bytes = 0;
  options.most_waiting = 0;
  Bench b(options);
  EXPECT_EQ(b.complete("")->response->status, 429);
}

TEST(Workers, AClientMayGoMeanwhile) {
  ServiceOptions options;
  options.inline_bytes = 0;
  Bench b(options);
  const auto x = b.complete("");
  b.loop.run_until([&] { return b.engine.seen.size() == 1; });
  x->leave();
  EXPECT_EQ(b.engine.cancelled.size(), 1u);
}

TEST(Workers, AreJoinedWithWorkUnderWay) {
  for (int i = 0; i < 20; i++) {
    ServiceOptions options;
    options.inline_bytes = 0;
    Bench b(options);
    for (int k = 0; k < 20; k++) b.complete("");
    b.service.reset();
    b.run();
  }
}

TEST(Endpoints, Models) {
  Bench b;
  EXPECT_EQ(
      b.get("/v1/models")->response->body,
      R"({"object":"list","data":[{"id":"tiny","object":"model","created":1700000000,"owned_by":"infernum","root":"org/tiny","parent":null,)"
      R"("max_model_len":256,"aliases":["alias"]}]})");
  EXPECT_EQ(b.get("/v1/models/alias")->body()["id"], "tiny");
  EXPECT_EQ(b.get("/v1/models/or/g")->response->status, 404);
  EXPECT_EQ(b.get("/v1/models/or/g")->body()["error"]["type"], "not_found_error");
}

TEST(Endpoints, Tokenize) {
  Bench b;
  EXPECT_EQ(b.post("/tokenize", R"({"prompt":"the the","return_token_strs":true})")->response->body,
            "{\"count\":2,\"max_model_len\":256,\"tokens\":[256,257],\"token_strs\":[\"the\",\"Ġthe\"]}");
  EXPECT_EQ(b.post("/tokenize", R"({"content":"ab","add_special":true})")->body()["tokens"].dump(), "[97,98]");
  EXPECT_EQ(b.post("/tokenize", R"({"messages":[{"role":"user","content":"Hi"}]})")->body()["count"], 21);
  EXPECT_EQ(b.post("/tokenize", R"({"prompt":["a","b"]})")->response->status, 400);
  EXPECT_EQ(b.post("/tokenize", "{}")->response->status, 400);
  EXPECT_EQ(b.post("/detokenize", R"({"tokens":[260,72,105]})")->response->body,
            R"({"prompt":"<|im_start|>Hi","content":"<|im_start|>Hi"})");
  EXPECT_EQ(b.post("/detokenize", R"({"tokens":[]})")->response->status, 200);
  EXPECT_EQ(b.post("/detokenize", R"({"tokens":[999999]})")->body()["error"]["param"], "tokens.0");
  EXPECT_EQ(b.post("/detokenize", "{}")->response->status, 400);
  EXPECT_EQ(b.post("/apply-template", R"({"messages":[{"role":"user","content":"Hi"}]})")->body()["prompt"],
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

TEST(Endpoints, TokenizerInfoNeedsItsFlag) {
  Bench closed;
  for (const Route& r : closed.routes) EXPECT_NE(r.path, "/tokenizer_info");
  ServiceOptions options;
  options.tokenizer_info = true;
  Bench open(options);
  EXPECT_EQ(open.get("/tokenizer_info")->body()["eos_token"], "<|im_end|>");
  EXPECT_EQ(open.get("/tokenizer_info")->body()["chat_template"], test_template);
}

TEST(Endpoints, NeedAKey) {
  Bench b;
  for (const Route& r : b.routes) EXPECT_EQ(r.access, r.path == "/health?deep=1" ? Access::Admin : Access::Key) << r.path;
}

}  // namespace
}  // namespace infernum::server::testing
