// Streams: order of chunks, equality with the whole answer however tokens are cut, stop strings, several choices, usage, ids and timings.
#include <random>

#include "server/openai/test_support.h"

namespace infernum::server::testing {
namespace {

/// Feeds `ids` to request `id` in steps of random size, then the end.
void feed(FakeEngine& engine, RequestId id, const std::vector<int32_t>& ids, EndReason reason, std::mt19937& random) {
  size_t at = 0;
  while (at < ids.size() && engine.running.contains(id)) {
    const size_t n = std::min<size_t>(ids.size() - at, 1 + random() % 3);
    engine.step({event(id, {ids.begin() + static_cast<std::ptrdiff_t>(at), ids.begin() + static_cast<std::ptrdiff_t>(at + n)})});
    at += n;
  }
  if (engine.running.contains(id)) engine.step({event(id, {}, reason)});
}

std::string stop_oracle(const std::string& text, const std::vector<std::string>& stops, bool include) {
  // The stop string that is complete first counts; of those, the one that begins first.
  for (size_t end = 1; end <= text.size(); end++) {
    size_t begin = std::string::npos;
    for (const std::string& stop : stops)
      if (stop.size() <= end && text.compare(end - stop.size(), stop.size(), stop) == 0) begin = std::min(begin, end - stop.size());
    if (begin != std::string::npos) return text.substr(0, include ? end : begin);
  }
  return text;
}

bool valid_utf8(const std::string& text) { return Tree(text).dump(-1, ' ', false, Tree::error_handler_t::strict).size() >= 2; }

TEST(Streams, EqualTheWholeAnswerHoweverTokensAreCut) {
  std::mt19937 random(7);
  const std::vector<std::string> pieces = {"a", "b", "ab", "END", "E", "é", "漢", "😀", " ", "\n", "\"", "\\", "\xE2\x80\xA8", "ND", "the"};
  for (int round = 0; round < 60; round++) {
    std::string text;
    const size_t length = random() % 30;
    for (size_t i = 0; i < length; i++) text += pieces[random() % pieces.size()];
    std::vector<int32_t> ids = bytes_as_ids(text);
    if (round % 3 == 0) ids.insert(ids.begin() + static_cast<std::ptrdiff_t>(random() % (ids.size() + 1)), 0xE2);  // cut characters
    const bool include = round % 2, logprobs = round % 5 == 0;
    const std::vector<std::string> stops = round % 4 ? std::vector<std::string>{"END", "漢😀", "bab"} : std::vector<std::string>{};
    Tree more = {{"stop", stops}, {"include_stop_str_in_output", include}, {"logprobs", logprobs}};
    const std::string options = more.dump().substr(1, more.dump().size() - 2);
    Bench b;
    const auto whole = b.chat(options);
    feed(b.engine, b.engine.last, ids, EndReason::Length, random);
    b.run();
    b.engine.step();
    b.run();
    const auto stream = b.chat(options + ",\"stream\":true");
    feed(b.engine, b.engine.last, ids, EndReason::Length, random);
    b.run();
    b.engine.step();
    b.run();
    ASSERT_TRUE(whole->response && stream->finished);
    const std::string answer = whole->body()["choices"][0]["message"]["content"];
    const auto events = stream->events();
    EXPECT_EQ(streamed_text(events), answer);
    EXPECT_EQ(answer, stop_oracle(test_tokenizer().decode(ids), stops, include)) << text;
    EXPECT_EQ(whole->body()["choices"][0]["finish_reason"], events.back()["choices"][0]["finish_reason"]);
    for (const Tree& e : events)
      for (const Tree& choice : e["choices"]) EXPECT_TRUE(valid_utf8(choice["delta"].value("content", "")));
    EXPECT_EQ(b.service->live(), 0u);
  }
}

TEST(Streams, StepsThatTheLoopIsBehindAreSentAtOnce) {
  Bench b;
  b.keeps_pace = false;
  const auto x = b.chat(R"("stream":true)");
  const auto y = b.chat(R"("stream":true)");
  b.engine.step({event(1, {'a'}), event(2, {'x'})});
  b.run();
  for (const char c : {'b', 'c', 'd'}) b.engine.step({event(1, {c}), event(2, {c})});
  b.engine.step({event(1, {end_token}, EndReason::Stop)});
  b.run();
  EXPECT_EQ(x->sends.size(), 2u);
  EXPECT_EQ(y->sends.size(), 2u);
  EXPECT_TRUE(x->finished);
  EXPECT_FALSE(y->finished);
  const auto events = x->events();
  EXPECT_EQ(events.size(), 6u) << "role, four tokens, finish: an event for each token all the same";
  EXPECT_EQ(streamed_text(events), "abcd");
  b.engine.end(2, EndReason::Fault, "it broke");
  b.run();
  auto rest = y->events();
  EXPECT_TRUE(rest.back().contains("error"));
  rest.pop_back();
  EXPECT_EQ(streamed_text(rest), "xbcd");
}

TEST(Streams, ChatChunksComeInOrder) {
  Bench b;
  const auto x = b.chat(R"("stream":true,"n":3)");
  const std::string texts[] = {"abc", "", "wxyz"};
  for (size_t step = 0; step < 6; step++) {
    std::vector<EngineEvent> events;
    for (RequestId id = 1; id <= 3; id++) {
      const std::string& text = texts[id - 1];
      if (step < text.size()) events.push_back(event(id, {text[step]}));
      if (step == text.size()) events.push_back(event(id, {end_token}, EndReason::Stop));
    }
    b.engine.step(std::move(events));
    b.run();
  }
  ASSERT_TRUE(x->finished);
  EXPECT_EQ(x->sends.size(), 5u) << "one per step, for all choices";
  std::map<int, int> state;  // 0: nothing yet, 1: role, 2: finished
  for (const Tree& e : x->events()) {
    EXPECT_FALSE(e.contains("usage"));
    ASSERT_EQ(e["choices"].size(), 1u);
    const Tree& c = e["choices"][0];
    int& s = state[c["index"].get<int>()];
    if (s == 0) {
      EXPECT_EQ(c["delta"].dump(), R"({"role":"assistant","content":""})");
      EXPECT_TRUE(c["finish_reason"].is_null());
      s = 1;
    } else if (c["finish_reason"].is_null()) {
      EXPECT_EQ(s, 1);
      EXPECT_EQ(c["delta"].size(), 1u);
      EXPECT_FALSE(c["delta"]["content"].get<std::string>().empty());
    } else {
      EXPECT_EQ(s, 1);
      EXPECT_EQ(c["delta"].dump(), "{}");
      EXPECT_EQ(c["finish_reason"], "stop");
      s = 2;
    }
  }
  EXPECT_EQ(state, (std::map<int, int>{{0, 2}, {1, 2}, {2, 2}}));
  for (int i = 0; i < 3; i++) EXPECT_EQ(streamed_text(x->events(), i), texts[i]);
}

TEST(Streams, IntervalsMergeTokens) {
  ServiceOptions options;
  options.stream_interval = 4;
  Bench b(options);
  const auto x = b.complete(R"("stream":true)");
  b.engine.say(b.engine.last, "abcdefghijk");
  b.run();
  std::vector<std::string> texts;
  for (const Tree& e : x->events()) texts.push_back(e["choices"][0]["text"]);
  EXPECT_EQ(texts, (std::vector<std::string>{"a", "bcde", "fghi", "jk"}));
}

TEST(Streams, UsageOnRequest) {
  Bench b;
  const auto x =
      b.complete(R"("stream":true,"n":2,"stream_options":{"include_usage":true,"continuous_usage_stats":true,"include_obfuscation":true})");
  b.engine.step({event(1, {'a'}), event(2, {'b'})});
  b.engine.step({event(1, {'c'}, EndReason::Length), event(2, {end_token}, EndReason::Stop)});
  b.run();
  std::vector<int> tokens;
  const auto events = x->events();
  for (const Tree& e : events) tokens.push_back(e["usage"]["completion_tokens"]);
  EXPECT_EQ(tokens, (std::vector<int>{1, 2, 3, 4, 4}));
  EXPECT_TRUE(events.back()["choices"].empty());
  EXPECT_EQ(events.back()["usage"]["prompt_tokens_details"]["cached_tokens"], 2) << "of the first choice: the others find its prompt";
  EXPECT_EQ(events.back()["usage"]["total_tokens"], 6);
}

TEST(Streams, IdsOfTokens) {
  Bench b;
  const auto x = b.chat(R"("stream":true,"return_token_ids":true)");
  b.engine.say(b.engine.last, "é");
  b.run();
  const auto events = x->events();
  EXPECT_EQ(events[0]["prompt_token_ids"].size(), 21u);
  std::vector<int> ids;
  for (const Tree& e : events) {
    EXPECT_EQ(e.contains("prompt_token_ids"), &e == &events[0]);
    for (const int id : e["choices"][0].value("token_ids", std::vector<int>())) ids.push_back(id);
  }
  EXPECT_EQ(ids, (std::vector<int>{0xC3, 0xA9, end_token}));
  const auto y = b.complete(R"("return_token_ids":true,"stream":true)", "[7,8]");
  b.engine.say(b.engine.last, "ab");
  const auto z = b.complete(R"("return_token_ids":true)", "[7,8]");
  b.engine.say(b.engine.last, "ab");
  b.run();
  EXPECT_EQ(y->events()[0]["choices"][0]["prompt_token_ids"].dump(), "[7,8]");
  EXPECT_FALSE(y->events()[1]["choices"][0].contains("prompt_token_ids"));
  EXPECT_EQ(y->events()[2]["choices"][0]["token_ids"].dump(), "[261]");
  EXPECT_EQ(z->body()["choices"][0]["token_ids"].dump(), "[97,98,261]");
  EXPECT_EQ(z->body()["choices"][0]["prompt_token_ids"].dump(), "[7,8]");
}

TEST(Streams, TimingsOnRequest) {
  Bench b;
  const auto whole = b.complete(R"("infernum":{"timings":true})");
  b.engine.say(b.engine.last, "ab");
  const auto stream = b.complete(R"("infernum":{"timings":true},"stream":true)");
  b.engine.say(b.engine.last, "ab");
  const auto usage = b.complete(R"("infernum":{"timings":true},"stream":true,"stream_options":{"include_usage":true})");
  b.engine.say(b.engine.last, "ab");
  b.run();
  for (const Tree& at : {whole->body(), stream->events().back(), usage->events().back()}) {
    const Tree& t = at.at("infernum").at("timings");
    EXPECT_EQ(t.at("queue_ms"), 1.0);
    EXPECT_EQ(t.at("prefill_ms"), 2.0);
    EXPECT_EQ(t.at("decode_ms"), 3.0);
    EXPECT_EQ(t.at("cached_tokens"), 2);
    EXPECT_EQ(t.at("cache_limit"), "unseen");
    EXPECT_EQ(t.at("generated_tokens"), 3);
    EXPECT_EQ(t.at("preemptions"), 0);
    EXPECT_GE(t.at("total_ms"), 0);
  }
  EXPECT_FALSE(stream->events().front().contains("infernum"));
}

TEST(Streams, BeginWithAStopIdOfTheRequest) {
  Bench b;
  const auto x = b.complete(R"("stop_token_ids":[120],"ignore_eos":true)");
  b.engine.step({event(1, bytes_as_ids("ab"))});
  b.engine.step({event(1, {'x'}, EndReason::Stop)});
  const auto y = b.complete(R"("stop_token_ids":[120],"include_stop_str_in_output":true,"stream":true)");
  b.engine.step({event(2, {'x'}, EndReason::Stop)});
  b.run();
  EXPECT_EQ(x->body()["choices"][0].dump(), R"({"index":0,"text":"ab","logprobs":null,"finish_reason":"stop","stop_reason":120})");
  EXPECT_EQ(x->body()["usage"]["completion_tokens"], 3);
  EXPECT_EQ(streamed_text(y->events()), "x");
}

TEST(Streams, EchoComesFirst) {
  Bench b;
  const auto x = b.complete(R"("echo":true,"stream":true)");
  b.engine.say(b.engine.last, "!");
  const auto y = b.complete(R"("echo":true,"n":2)", "[72,105]");
  b.engine.say(2, "?");
  b.engine.say(3, "");
  b.run();
  EXPECT_EQ(streamed_text(x->events()), "Hi!");
  EXPECT_EQ(y->body()["choices"][0]["text"], "Hi?");
  EXPECT_EQ(y->body()["choices"][1]["text"], "Hi");
}

TEST(Streams, MinTokensPutOffStopStrings) {
  Bench b;
  const auto x = b.complete(R"("stop":["b"],"min_tokens":4)");
  b.engine.say(b.engine.last, "abababab");
  b.run();
  EXPECT_EQ(x->body()["choices"][0]["text"], "aba") << "a stop string is looked for from the last of these tokens on";
}

TEST(Streams, BeginWithoutATokenAfterAWhile) {
  ServiceOptions options;
  options.first_byte_seconds = 0;
  Bench b(options);
  const auto x = b.chat(R"("stream":true)");
  const auto y = b.chat("");
  EXPECT_FALSE(x->begun);
  b.loop.fire_timers();
  EXPECT_TRUE(x->begun);
  EXPECT_TRUE(x->events().empty());
  EXPECT_FALSE(y->complete());
  b.engine.end(1, EndReason::QueueTimeout);
  b.run();
  EXPECT_EQ(x->events().at(0)["error"]["code"], "queue_timeout");
  EXPECT_TRUE(x->stream.ends_with("data: [DONE]\n\n"));
}

}  // namespace
}  // namespace infernum::server::testing
