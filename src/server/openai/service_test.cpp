// The service from request body to response body, over a fake engine.
#include "server/openai/test_support.h"

namespace infernum::server::testing {
namespace {

TEST(OpenAiChat, AnswersInOnePiece) {
  Bench b;
  const auto x = b.chat(R"("request_id":"r1")");
  ASSERT_EQ(b.engine.running.size(), 1u);
  EXPECT_EQ(test_tokenizer().decode(b.engine.seen[0].prompt, false), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  b.engine.say(b.engine.last, "Hello \"you\"");
  b.run();
  const std::string expected =
      R"({"id":"chatcmpl-r1","object":"chat.completion","created":1800000000,"model":"tiny","system_fingerprint":"fp_test","choices":[{"index":0,)"
      R"("message":{"role":"assistant","content":"Hello \"you\"","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":)"
      R"({"prompt_tokens":21,"completion_tokens":12,"total_tokens":33,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":)"
      R"({"reasoning_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default"})";
  ASSERT_TRUE(x->response);
  EXPECT_EQ(x->response->body, expected);
  EXPECT_EQ(b.service->live(), 0u);
  ASSERT_EQ(b.records.size(), 1u);
  EXPECT_EQ(b.records[0].finish_reason, "stop");
  EXPECT_EQ(b.records[0].completion_tokens, 12);
  EXPECT_EQ(b.records[0].token_gaps.size(), 11u);
}

TEST(OpenAiChat, StreamsInTheOrderOfTheSdks) {
  Bench b;
  const auto x = b.chat(R"("request_id":"r1","stream":true,"stream_options":{"include_usage":true})");
  EXPECT_FALSE(x->begun) << "the status line waits for the first token";
  b.engine.say(b.engine.last, "Hi");
  b.run();
  const std::string head =
      R"(data: {"id":"chatcmpl-r1","object":"chat.completion.chunk","created":1800000000,"model":"tiny","system_fingerprint":"fp_test","choices":[)";
  const std::string tail = R"(],"usage":null})"
                           "\n\n";
  ASSERT_EQ(x->sends.size(), 3u) << "one per step";
  EXPECT_EQ(x->sends[0], head + R"({"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null})" + tail + head +
                             R"({"index":0,"delta":{"content":"H"},"finish_reason":null})" + tail);
  EXPECT_EQ(x->sends[1], head + R"({"index":0,"delta":{"content":"i"},"finish_reason":null})" + tail);
  EXPECT_EQ(x->sends[2],
            head + R"({"index":0,"delta":{},"finish_reason":"stop"})" + tail + head +
                R"(],"usage":{"prompt_tokens":21,"completion_tokens":3,"total_tokens":24,"prompt_tokens_details":{"cached_tokens":2},)"
                R"("completion_tokens_details":{"reasoning_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}})"
                "\n\ndata: [DONE]\n\n");
  EXPECT_TRUE(x->finished);
}

TEST(OpenAiCompletions, AnswersAndStreams) {
  Bench b;
  const auto x = b.complete(R"("request_id":"r1","max_tokens":3)", R"("the")");
  EXPECT_EQ(b.engine.seen[0].prompt, std::vector<int32_t>{256});
  EXPECT_EQ(b.engine.seen[0].max_tokens, 3);
  b.engine.say(b.engine.last, "abc", EndReason::Length);
  b.run();
  ASSERT_TRUE(x->response);
  EXPECT_EQ(x->body()["choices"].dump(), R"([{"index":0,"text":"abc","logprobs":null,"finish_reason":"length","stop_reason":null}])");
  const auto y = b.complete(R"("stream":true)", "[1,2]");
  b.engine.say(b.engine.last, "abc", EndReason::Length);
  b.run();
  const auto events = y->events();
  EXPECT_EQ(streamed_text(events), "abc");
  EXPECT_EQ(events.back()["choices"][0]["finish_reason"], "length");
  for (const auto& e : events) EXPECT_FALSE(e.contains("usage"));
}

TEST(OpenAiCompletions, NumbersChoicesByPromptAndN) {
  Bench b;
  const auto x = b.complete(R"("n":2,"seed":5)", R"(["a","b"])");
  ASSERT_EQ(b.engine.running.size(), 4u);
  EXPECT_EQ(b.engine.seen[0].prompt, bytes_as_ids("a"));
  EXPECT_EQ(b.engine.seen[3].prompt, bytes_as_ids("b"));
  EXPECT_EQ(b.engine.seen[0].sampling.seed, b.engine.seen[2].sampling.seed) << "a prompt answers alike alone and among others";
  EXPECT_NE(b.engine.seen[0].sampling.seed, b.engine.seen[1].sampling.seed);
  for (RequestId id = 4; id >= 1; id--) b.engine.say(id, std::to_string(id));
  b.run();
  ASSERT_TRUE(x->response);
  const Tree choices = x->body()["choices"];
  for (int i = 0; i < 4; i++) {
    EXPECT_EQ(choices[static_cast<size_t>(i)]["index"], i);
    EXPECT_EQ(choices[static_cast<size_t>(i)]["text"], std::to_string(i + 1));
  }
  EXPECT_EQ(x->body()["usage"]["prompt_tokens"], 2);
  EXPECT_EQ(x->body()["usage"]["completion_tokens"], 8);
}

std::string field(const HeaderFields& fields, std::string_view name) {
  for (const auto& [known, value] : fields)
    if (known == name) return value;
  return "";
}

TEST(OpenAiHeaders, OfStreamsAreThoseOfWholeAnswers) {
  ServiceOptions options;
  options.server_timing = true;
  Bench b(options);
  const auto whole = b.chat(R"("user":"u","store":true)");
  b.engine.say(b.engine.last, "Hi");
  const auto stream = b.chat(R"("user":"u","stream":true,"stream_options":{"include_obfuscation":true})");
  b.engine.say(b.engine.last, "Hi");
  const auto late = b.chat(R"("stream":true)");
  b.loop.fire_timers();
  b.run();
  EXPECT_EQ(field(whole->response->headers, "x-infernum-no-effect"), "user, store");
  EXPECT_TRUE(field(whole->response->headers, "Server-Timing").starts_with("queue;dur="));
  EXPECT_EQ(field(stream->stream_headers, "x-infernum-no-effect"), "user, stream_options.include_obfuscation");
  EXPECT_TRUE(field(stream->stream_headers, "Server-Timing").starts_with("ttft;dur="));
  EXPECT_EQ(field(late->stream_headers, "Server-Timing"), "") << "there is no token yet";
}

TEST(OpenAiContent, IsNotedOnDemandAndCut) {
  ServiceOptions options;
  options.content_bytes = 10;
  for (const bool stream : {false, true}) {
    Bench b(options);
    const auto x = b.complete(R"("n":2,"stop":["!"],"stream":)" + std::string(stream ? "true" : "false"), R"(["0123456789abc","x"])");
    for (RequestId id = 1; id <= 4; id++) b.engine.say(id, std::to_string(id) + "ab!cd");
    b.run();
    b.engine.step();
    b.run();
    EXPECT_EQ(x->notes["prompt"], "0123456789");
    EXPECT_EQ(x->notes["output"], "1ab\n2ab\n3a");
  }
  Bench b;
  const auto x = b.complete("");
  b.engine.say(1, "Hi");
  b.run();
  EXPECT_FALSE(x->notes.contains("prompt") || x->notes.contains("output"));
}

TEST(OpenAiHealth, AsksTheEngineForOneToken) {
  Bench b;
  for (const Route& route : b.routes)
    if (route.path.find("deep") != std::string_view::npos) {
      EXPECT_EQ(route.access, Access::Admin);
    }
  const auto good = b.get("/health?deep=1");
  ASSERT_EQ(b.engine.seen.size(), 1u);
  EXPECT_EQ(b.engine.seen[0].max_tokens, 1);
  b.engine.say(1, "x", EndReason::Length);
  const auto bad = b.get("/health?deep=1");
  b.engine.end(2, EndReason::NotFinite);
  b.run();
  EXPECT_EQ(good->response.value().body, R"({"status":"ok"})");
  EXPECT_EQ(bad->response.value().status, 500);
}

TEST(OpenAiModels, AliasesCanBeReplaced) {
  Bench b;
  const auto status = [&](const std::string& model) {
    const auto x = b.chat("\"model\":\"" + model + "\"");
    return x->response ? x->response->status : 200;
  };
  EXPECT_EQ(status("alias"), 200);
  b.service->set_aliases({"other"});
  EXPECT_EQ(status("alias"), 404);
  EXPECT_EQ(status("other"), 200);
  EXPECT_EQ(status("tiny"), 200) << "the name stays";
  EXPECT_EQ(b.get("/v1/models")->body()["data"][0]["aliases"].dump(), R"(["other"])");
}

TEST(OpenAiStops, NothingComesBehindAStopStringAndTheEngineStops) {
  Bench b;
  const auto x = b.complete(R"("stop":["END"],"stream":true,"stream_options":{"include_usage":true})");
  const RequestId id = b.engine.last;
  b.engine.step({event(id, bytes_as_ids("abE"))});
  b.engine.step({event(id, bytes_as_ids("NDxyz"))});
  b.run();
  EXPECT_EQ(b.engine.cancelled, std::vector<RequestId>{id});
  b.engine.step({event(id, bytes_as_ids("more"))});
  b.run();
  ASSERT_TRUE(x->finished);
  const auto events = x->events();
  EXPECT_EQ(streamed_text(events), "ab");
  EXPECT_EQ(events[events.size() - 2]["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(events[events.size() - 2]["choices"][0]["stop_reason"], "END");
  EXPECT_EQ(events.back()["usage"]["completion_tokens"], 5) << "up to the stop";
  EXPECT_EQ(b.service->live(), 0u);
}

}  // namespace
}  // namespace infernum::server::testing
