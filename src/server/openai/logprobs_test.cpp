// Logprobs in all shapes: a chat's, the older API's with and without echo, and those of a prompt.
#include "server/openai/test_support.h"

namespace infernum::server::testing {
namespace {

ScoredToken scored(int32_t id, float logprob, std::vector<TokenLogprob> top = {}, int rank = 1) {
  ScoredToken t;
  t.id = id;
  t.logprob = logprob;
  t.rank = rank;
  t.top = std::move(top);
  return t;
}

EngineEvent scored_event(RequestId id, std::vector<ScoredToken> tokens, std::optional<EndReason> end = {}) {
  EngineEvent e = event(id, {}, end);
  e.tokens = std::move(tokens);
  return e;
}

TEST(Logprobs, OfAChat) {
  for (const bool stream : {false, true}) {
    Bench b;
    const auto x = b.chat(R"("logprobs":true,"top_logprobs":2,"stream":)" + std::string(stream ? "true" : "false"));
    EXPECT_EQ(b.engine.seen[0].top_logprobs, 2);
    b.engine.step({scored_event(1, {scored(258, -0.25f, {{258, -0.25f}, {'h', -2.5f}})})});
    b.engine.step({scored_event(1, {scored(0xC3, -1.5f, {{'x', -INFINITY}})})});
    b.engine.step({scored_event(1, {scored(0xA9, -0.1f)})});
    b.engine.step({scored_event(1, {scored(end_token, -0.5f)}, EndReason::Stop)});
    b.run();
    Tree content = Tree::array();
    std::string text;
    if (stream) {
      text = streamed_text(x->events());
      for (const Tree& e : x->events())
        if (e["choices"][0].contains("logprobs"))
          for (const Tree& t : e["choices"][0]["logprobs"]["content"]) content.push_back(t);
    } else {
      const Tree choice = x->body()["choices"][0];
      text = choice["message"]["content"];
      content = choice["logprobs"]["content"];
      EXPECT_TRUE(choice["logprobs"]["refusal"].is_null());
    }
    EXPECT_EQ(text, "Helloé");
    ASSERT_EQ(content.size(), 3u) << "the end of the generation is no token of the text";
    EXPECT_EQ(content[0].dump(),
              R"({"token":"Hello","logprob":-0.25,"bytes":[72,101,108,108,111],"top_logprobs":[)"
              R"({"token":"Hello","logprob":-0.25,"bytes":[72,101,108,108,111]},{"token":"h","logprob":-2.5,"bytes":[104]}]})");
    EXPECT_EQ(content[1]["token"], "\xEF\xBF\xBD");
    EXPECT_EQ(content[1]["bytes"].dump(), "[195]");
    EXPECT_EQ(content[1]["top_logprobs"][0]["logprob"], -9999.0) << "JSON has no minus infinity";
    std::string bytes;
    for (const Tree& t : content)
      for (const int byte : t["bytes"]) bytes += static_cast<char>(byte);
    EXPECT_EQ(bytes, text);
  }
}

TEST(Logprobs, OfNamedTokensComeBehindTheBest) {
  const auto engine_says = scored('x', -1, {{'x', -1}, {'y', -2}, {'y', -2}, {'z', -9}});
  Bench b;
  const auto chat = b.chat(R"("logprobs":true,"top_logprobs":2,"logprob_token_ids":[121,122])");
  b.engine.step({scored_event(1, {engine_says}, EndReason::Length)});
  const auto older = b.complete(R"("logprobs":1,"logprob_token_ids":[122])");
  b.engine.step({scored_event(2, {scored('x', -1, {{'x', -1}, {'z', -9}})}, EndReason::Length)});
  b.run();
  std::vector<std::string> listed;
  const Tree body = chat->body();
  for (const Tree& t : body["choices"][0]["logprobs"]["content"][0]["top_logprobs"]) listed.push_back(t["token"]);
  EXPECT_EQ(listed, (std::vector<std::string>{"x", "y", "z"})) << "each once";
  EXPECT_EQ(older->body()["choices"][0]["logprobs"]["top_logprobs"].dump(), R"([{"x":-1,"z":-9}])");
}

TEST(Logprobs, EndWithTheTextBeforeAStopString) {
  Bench b;
  const auto x = b.chat(R"("logprobs":true,"stop":["lo wor"])");
  EXPECT_EQ(b.engine.seen[0].top_logprobs, 0);
  b.engine.step({scored_event(1, {scored('x', -1), scored(258, -1)})});
  b.engine.step({scored_event(1, {scored(' ', -1), scored('w', -1), scored('o', -1), scored('r', -1)})});
  b.run();
  b.engine.step();
  b.run();
  const Tree choice = x->body()["choices"][0];
  EXPECT_EQ(choice["message"]["content"], "xHel");
  ASSERT_EQ(choice["logprobs"]["content"].size(), 2u) << choice.dump();
  EXPECT_EQ(choice["logprobs"]["content"][1]["token"], "Hello") << "cut in two by the stop string";
}

TEST(Logprobs, OfTheOlderApi) {
  Bench b;
  const auto x = b.complete(R"("logprobs":2)");
  // Two tokens that read alike (both are no character): the better one counts. The chosen one is always there.
  b.engine.step({scored_event(1, {scored('a', -3.5f, {{0xC3, -1}, {0xC4, -2}, {'q', -3}}, 4)})});
  b.engine.step({scored_event(1, {scored(0xC3, -1, {{0xC3, -1}})})});
  b.engine.step({scored_event(1, {scored(0xA9, -2)})});
  b.engine.step({scored_event(1, {scored('z', -2)})});
  b.engine.step({scored_event(1, {scored(end_token, -0.5f)}, EndReason::Stop)});
  b.run();
  const Tree choice = x->body()["choices"][0];
  EXPECT_EQ(choice["text"], "aéz");
  const Tree l = choice["logprobs"];
  EXPECT_EQ(l["tokens"], Tree({"a", "\xEF\xBF\xBD", "\xEF\xBF\xBD", "z", "<|im_end|>"}));
  EXPECT_EQ(l["token_logprobs"].dump(), "[-3.5,-1,-2,-2,-0.5]");
  EXPECT_EQ(l["top_logprobs"][0].dump(), "{\"\xEF\xBF\xBD\":-1,\"a\":-3.5}");
  EXPECT_EQ(l["text_offset"].dump(), "[0,1,1,2,3]") << "characters, not bytes";
}

/// What lm-eval does: ids in, the prompt scored, one token generated; a token is greedy if its logprob equals the best one's.
TEST(Logprobs, ScoreAnEchoedPrompt) {
  for (const bool stream : {false, true}) {
    Bench b;
    const auto x = b.complete(
        R"("echo":true,"max_tokens":1,"logprobs":1,"temperature":0,"seed":1234,"stream":)" + std::string(stream ? "true" : "false"),
        "[258,0,98]");
    EXPECT_EQ(b.engine.seen[0].prompt_logprobs, 1);
    EngineEvent e = scored_event(1, {scored('c', -0.7f, {{'c', -0.7f}})}, EndReason::Length);
    ScoredToken first;
    first.id = 258;
    e.prompt = {first, scored(0, -0.123456789f, {{0, -0.123456789f}}), scored('b', -3, {{'x', -0.5f}}, 2)};
    b.engine.step({e});
    b.run();
    Tree all = {
        {"tokens", Tree::array()}, {"token_logprobs", Tree::array()}, {"top_logprobs", Tree::array()}, {"text_offset", Tree::array()}};
    std::string text;
    if (stream) {
      for (const Tree& chunk : x->events()) {
        text += chunk["choices"][0]["text"].get<std::string>();
        for (const auto& [key, list] : chunk["choices"][0]["logprobs"].items())
          for (const Tree& item : list) all[key].push_back(item);
      }
    } else {
      text = x->body()["choices"][0]["text"];
      all = x->body()["choices"][0]["logprobs"];
    }
    EXPECT_EQ(text, std::string("Hello\0bc", 8));
    EXPECT_EQ(all["text_offset"].dump(), "[0,5,6,7]");
    ASSERT_EQ(all["token_logprobs"].size(), 4u);
    EXPECT_TRUE(all["token_logprobs"][0].is_null());
    EXPECT_TRUE(all["top_logprobs"][0].is_null());
    const auto greedy = [&](size_t i) {
      double best = -1e9;
      for (const auto& [key, value] : all["top_logprobs"][i].items()) best = std::max(best, value.get<double>());
      return all["token_logprobs"][i].get<double>() == best;
    };
    EXPECT_TRUE(greedy(1));
    EXPECT_FALSE(greedy(2));
    EXPECT_TRUE(greedy(3));
    EXPECT_EQ(static_cast<float>(all["token_logprobs"][1].get<double>()), -0.123456789f);
  }
}

TEST(Logprobs, PureScoring) {
  Bench b;
  const auto x = b.complete(R"("echo":true,"max_tokens":0,"logprobs":0)", "[97,98]");
  EXPECT_EQ(b.engine.seen[0].max_tokens, 0);
  EngineEvent e = event(1, {}, EndReason::Length);
  ScoredToken first;
  first.id = 'a';
  e.prompt = {first, scored('b', -1)};
  b.engine.step({e});
  b.run();
  const Tree choice = x->body()["choices"][0];
  EXPECT_EQ(choice["text"], "ab");
  EXPECT_EQ(choice["logprobs"].dump(),
            R"({"tokens":["a","b"],"token_logprobs":[null,-1],"top_logprobs":[null,{"b":-1}],"text_offset":[0,1]})");
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(x->body()["usage"]["completion_tokens"], 0);
}

TEST(Logprobs, OfAPromptInItsOwnField) {
  Bench b;
  const auto x = b.complete(R"("prompt_logprobs":1)", "[97,98]");
  const auto y = b.chat(R"("prompt_logprobs":0)");
  EXPECT_EQ(b.engine.seen[0].prompt_logprobs, 1);
  EXPECT_EQ(b.engine.seen[1].prompt_logprobs, 0);
  for (RequestId id : {1, 2}) {
    EngineEvent e = event(id, {'c'}, EndReason::Length);
    ScoredToken first;
    first.id = 'a';
    e.prompt = {first, scored('b', -1.5f, {{'x', -0.5f}}, 3)};
    b.engine.step({e});
  }
  b.run();
  EXPECT_EQ(x->body()["choices"][0]["prompt_logprobs"].dump(),
            R"([null,{"120":{"logprob":-0.5,"rank":1,"decoded_token":"x"},"98":{"logprob":-1.5,"rank":3,"decoded_token":"b"}}])");
  EXPECT_TRUE(x->body()["choices"][0]["logprobs"].is_null());
  EXPECT_EQ(y->body()["prompt_logprobs"].dump(), R"([null,{"98":{"logprob":-1.5,"rank":3,"decoded_token":"b"}}])");
}

TEST(Logprobs, TokensAsIds) {
  Bench b;
  const auto x = b.complete(R"("logprobs":1,"return_tokens_as_token_ids":true)");
  b.engine.step({scored_event(1, {scored('a', -1, {{'b', -0.5f}})}, EndReason::Length)});
  b.run();
  const Tree l = x->body()["choices"][0]["logprobs"];
  EXPECT_EQ(l["tokens"].dump(), R"(["token_id:97"])");
  EXPECT_EQ(l["top_logprobs"].dump(), R"([{"token_id:98":-0.5,"token_id:97":-1}])");
}

TEST(Logprobs, TooManyValuesAreRefused) {
  FakeEngine big;
  big.info_.context = big.info_.cache_tokens = 1'000'000;
  FakeLoop loop;
  OpenAiService service(test_model(), big, loop);
  HttpRequest request;
  request.body = R"({"prompt":"a","max_tokens":900000,"logprobs":20,"n":4})";
  const auto x = std::make_shared<FakeExchange>(request);
  for (const Route& r : service.routes())
    if (r.path == "/v1/completions") r.handler(x);
  ASSERT_TRUE(x->response);
  EXPECT_EQ(x->body()["error"]["param"], "logprobs");
}

}  // namespace
}  // namespace infernum::server::testing
