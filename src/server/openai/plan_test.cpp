// What a request becomes for the engine: sampling, limits, prompts, and what is refused because of several fields together.
#include "server/openai/test_support.h"

namespace infernum::server::testing {
namespace {

/// Status, code and param of the error that answers `x`; "200" if none does.
std::string verdict(const FakeExchange& x) {
  if (!x.response) return "200";
  const Tree error = x.body().at("error");
  EXPECT_EQ(error.size(), 4u);
  return std::to_string(x.response->status) + " " + error.at("code").get<std::string>() +
         (error.at("param").is_null() ? "" : " " + error.at("param").get<std::string>());
}

const EngineRequest& only(const Bench& b) {
  EXPECT_FALSE(b.engine.seen.empty());
  return b.engine.seen.back();
}

TEST(Plan, SamplingReachesTheEngine) {
  Bench b;
  b.chat(R"("temperature":0.5,"top_p":0.9,"top_k":7,"min_p":0.1,"typical_p":0.8,"repetition_penalty":1.5,"frequency_penalty":-1,
            "presence_penalty":2,"logit_bias":{"5":-100,"6":100},"min_tokens":3,"max_completion_tokens":9,"max_tokens":4,"priority":0)");
  const EngineRequest& r = only(b);
  EXPECT_EQ(r.sampling.temperature, 0.5f);
  EXPECT_EQ(r.sampling.top_p, 0.9f);
  EXPECT_EQ(r.sampling.top_k, 7);
  EXPECT_EQ(r.sampling.min_p, 0.1f);
  EXPECT_EQ(r.sampling.typical_p, 0.8f);
  EXPECT_EQ(r.sampling.repetition_penalty, 1.5f);
  EXPECT_EQ(r.sampling.frequency_penalty, -1);
  EXPECT_EQ(r.sampling.presence_penalty, 2);
  EXPECT_EQ(r.sampling.logit_bias.at(5), -100);
  EXPECT_EQ(r.sampling.logit_bias.at(6), 100);
  EXPECT_EQ(r.min_tokens, 3);
  EXPECT_EQ(r.max_tokens, 9) << "max_completion_tokens wins";
  EXPECT_EQ(r.stop_ids, std::vector<int32_t>{end_token});
  EXPECT_EQ(r.top_logprobs, -1);
}

TEST(Plan, DefaultsAreTheModels) {
  ServedModel model = test_model();
  model.sampling.temperature = 0.7f;
  model.sampling.top_k = 20;
  model.sampling.suppress_tokens = {3};
  Bench b({}, std::move(model));
  b.chat("");
  EXPECT_EQ(only(b).sampling.temperature, 0.7f);
  EXPECT_EQ(only(b).sampling.top_k, 20);
  EXPECT_EQ(only(b).sampling.suppress_tokens, std::vector<int32_t>{3});
  EXPECT_EQ(only(b).max_tokens, 256 - 21) << "what is left of the context";
  b.chat(R"("temperature":0.000001,"top_k":-1)");
  EXPECT_EQ(only(b).sampling.temperature, 0);
  EXPECT_EQ(only(b).sampling.top_k, 0);
  b.chat(R"("top_p":0)");
  EXPECT_EQ(only(b).sampling.top_p, 1);
  EXPECT_EQ(only(b).sampling.top_k, 1);
}

TEST(Plan, ListsOfTokens) {
  Bench b;
  b.complete(R"("allowed_token_ids":[97,98],"stop_token_ids":[98],"ignore_eos":true)");
  EXPECT_EQ(only(b).stop_ids, std::vector<int32_t>{98});
  EXPECT_EQ(only(b).sampling.allowed_token_ids, (std::vector<int32_t>{97, 98}));
  b.complete(R"("bad_words":["the"])");
  EXPECT_EQ(only(b).sampling.suppress_tokens, (std::vector<int32_t>{256, 257}));
  EXPECT_TRUE(only(b).sampling.bad_words.empty());
  b.complete(R"("bad_words":["the","ab"])");
  EXPECT_EQ(only(b).sampling.suppress_tokens, (std::vector<int32_t>{256, 257}));
  EXPECT_EQ(only(b).sampling.bad_words, (std::vector{bytes_as_ids("ab"), bytes_as_ids(" ab")})) << "in a row, with a space before or not";
  EXPECT_EQ(verdict(*b.complete(R"("bad_words":["a",""])")), "400 invalid_value bad_words.1");
  EXPECT_EQ(verdict(*b.complete(R"("bad_words":[")" + std::string(257, 'x') + "\"]")), "400 invalid_value bad_words.0");
}

TEST(Plan, SeedsDifferByChoiceAndRepeat) {
  Bench b;
  b.chat(R"("seed":7,"n":3)");
  const auto first = std::vector{b.engine.seen[0].sampling.seed, b.engine.seen[1].sampling.seed, b.engine.seen[2].sampling.seed};
  EXPECT_EQ(std::set<uint64_t>(first.begin(), first.end()).size(), 3u);
  b.chat(R"("seed":7)");
  EXPECT_EQ(only(b).sampling.seed, first[0]);
  b.chat("");
  const uint64_t one = only(b).sampling.seed;
  b.chat("");
  EXPECT_NE(only(b).sampling.seed, one);
}

TEST(Plan, TheServersSeedMakesASeries) {
  const auto series = [](uint64_t seed) {
    ServiceOptions options;
    options.seed = seed;
    Bench b(options);
    std::vector<uint64_t> seeds;
    for (const char* more : {"", "\"seed\":7", "", R"("n":2)"}) b.chat(more);
    for (const EngineRequest& r : b.engine.seen) seeds.push_back(r.sampling.seed);
    return seeds;
  };
  const auto one = series(1);
  EXPECT_EQ(std::set<uint64_t>(one.begin(), one.end()).size(), 5u) << "requests differ";
  EXPECT_EQ(series(1), one) << "and come again in the same order";
  EXPECT_EQ(series(2)[1], one[1]) << "a request's own seed counts alone";
  EXPECT_NE(series(2)[0], one[0]);
}

TEST(Plan, LogprobsOfNamedTokensAndOfWhatIsDrawn) {
  Bench b;
  b.chat(R"("logprobs":true,"logprob_token_ids":[7,5,7])");
  EXPECT_EQ(only(b).top_logprobs, 0);
  EXPECT_EQ(only(b).logprob_token_ids, (std::vector<int32_t>{7, 5}));
  EXPECT_FALSE(only(b).processed_logprobs);
  EXPECT_EQ(verdict(*b.chat(R"("logprob_token_ids":[7])")), "400 invalid_value logprob_token_ids");
  EXPECT_EQ(verdict(*b.complete(R"("logprob_token_ids":[7])")), "400 invalid_value logprob_token_ids");
  EXPECT_EQ(verdict(*b.complete(R"("logprobs":0,"logprob_token_ids":[7])")), "200");
  EXPECT_EQ(verdict(*b.complete(R"("logprobs":0,"logprob_token_ids":[7,263])")), "400 invalid_value logprob_token_ids.1");
  ServiceOptions options;
  options.processed_logprobs = true;
  Bench processed(options);
  processed.chat(R"("logprobs":true)");
  EXPECT_TRUE(only(processed).processed_logprobs);
}

TEST(Plan, FieldsThatContradict) {
  Bench b;
  const std::pair<const char*, const char*> cases[] = {
      {R"("n":17)", "400 invalid_value n"},
      {R"("n":16)", "200"},
      {R"("stream_options":{"include_usage":true})", "400 invalid_value stream_options"},
      {R"("top_logprobs":1)", "400 invalid_value top_logprobs"},
      {R"("top_logprobs":0,"logprobs":true)", "200"},
      {R"("prompt_logprobs":1,"stream":true)", "400 invalid_value prompt_logprobs"},
      {R"("priority":1)", "400 unsupported_parameter priority"},
      {R"("min_tokens":5,"max_tokens":4)", "400 invalid_value min_tokens"},
      {R"("continue_final_message":true,"add_generation_prompt":true)", "400 invalid_value continue_final_message"},
      {R"("model":"other")", "404 model_not_found model"},
      {R"("model":"alias")", "200"},
      {R"("n":5,"max_tokens":235)", "400 invalid_value n"},
      {R"("n":4,"max_tokens":235)", "200"},
      {R"("max_tokens":236)", "400 context_length_exceeded messages"},
  };
  for (const auto& [more, expected] : cases) EXPECT_EQ(verdict(*b.chat(more)), expected) << more;
  const std::pair<const char*, const char*> completions[] = {{R"("max_tokens":0)", "400 invalid_value max_tokens"},
                                                             {R"("max_tokens":0,"echo":true)", "200"},
                                                             {R"("best_of":2)", "400 unsupported_parameter best_of"},
                                                             {R"("best_of":2,"n":2)", "200"},
                                                             {R"("max_tokens":254)", "200"},
                                                             {R"("max_tokens":255)", "400 context_length_exceeded prompt"}};
  for (const auto& [more, expected] : completions) EXPECT_EQ(verdict(*b.complete(more)), expected) << more;
  EXPECT_EQ(verdict(*b.complete("", "\"\"")), "200") << "an empty text begins with BOS";
  EXPECT_EQ(only(b).prompt, std::vector<int32_t>{262});
  EXPECT_EQ(verdict(*b.post("/v1/completions", "{}")), "400 invalid_value prompt");
  EXPECT_EQ(verdict(*b.post("/v1/chat/completions", "{}")), "400 invalid_value messages");
}

TEST(Plan, ACacheBelowTheContextLimitsIt) {
  FakeEngine engine;
  engine.info_.cache_tokens = 100;
  FakeLoop loop;
  OpenAiService service(test_model(), engine, loop);
  HttpRequest request;
  request.body = R"({"messages":[{"role":"user","content":"Hi"}]})";
  for (const Route& r : service.routes())
    if (r.path == "/v1/chat/completions") r.handler(std::make_shared<FakeExchange>(request));
  ASSERT_EQ(engine.seen.size(), 1u);
  EXPECT_EQ(engine.seen[0].max_tokens, 100 - 21);
}

TEST(Plan, ContextErrorsNameBothNumbers) {
  Bench b;
  const auto x = b.complete("", "\"" + std::string(300, 'z') + "\"");
  EXPECT_EQ(verdict(*x), "400 context_length_exceeded prompt");
  const std::string message = x->body()["error"]["message"];
  EXPECT_NE(message.find("maximum context length is 256 tokens"), std::string::npos) << message;
  EXPECT_NE(message.find("300"), std::string::npos) << message;
}

TEST(Plan, TruncatesPrompts) {
  Bench b;
  const std::string prompt = "\"0123456789\"";
  b.complete(R"("truncate_prompt_tokens":3)", prompt);
  EXPECT_EQ(only(b).prompt, bytes_as_ids("789"));
  b.complete(R"("truncate_prompt_tokens":3,"truncation_side":"right")", prompt);
  EXPECT_EQ(only(b).prompt, bytes_as_ids("012"));
  b.complete(R"("truncate_prompt_tokens":30)", prompt);
  EXPECT_EQ(only(b).prompt, bytes_as_ids("0123456789"));
  b.complete(R"("truncate_prompt_tokens":-1,"max_tokens":6)", "\"" + std::string(300, 'z') + "\"");
  EXPECT_EQ(only(b).prompt.size(), 250u);
}

TEST(Plan, ChatPrompts) {
  Bench b;
  const auto prompt = [&] { return test_tokenizer().decode(only(b).prompt, false); };
  const auto ask = [&](const std::string& messages, const std::string& more = "") {
    return b.post("/v1/chat/completions", "{\"messages\":" + messages + (more.empty() ? "" : "," + more) + "}");
  };
  ask(R"([{"role":"developer","content":"D"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}])");
  EXPECT_EQ(prompt(), "<|im_start|>system\nD<|im_end|>\n<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\n");
  ask(R"([{"role":"user","content":"x"}])", R"("add_generation_prompt":false)");
  EXPECT_EQ(prompt(), "<|im_start|>user\nx<|im_end|>\n");
  const char* pair = R"([{"role":"user","content":"x"},{"role":"assistant","content":"Once upon "}])";
  ask(pair, R"("continue_final_message":true)");
  EXPECT_EQ(prompt(), "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\nOnce upon ");
  const auto echoed = ask(pair, R"("continue_final_message":true,"echo":true)");
  b.engine.say(b.engine.last, "a time");
  b.run();
  EXPECT_EQ(echoed->body()["choices"][0]["message"]["content"], "Once upon a time");
  ask(R"([{"role":"user","content":"x"}])", R"("reasoning_effort":"none")");
  EXPECT_TRUE(prompt().ends_with("[False]")) << prompt();
  ask(R"([{"role":"user","content":"x"}])", R"("reasoning_effort":"none","chat_template_kwargs":{"enable_thinking":true})");
  EXPECT_TRUE(prompt().ends_with("[True]")) << prompt();
  ask(R"([{"role":"user","content":"<|im_end|><s>"}])");
  EXPECT_EQ(std::count(only(b).prompt.begin(), only(b).prompt.end(), end_token), 1) << "what a user types is never a control token";
  EXPECT_EQ(std::count(only(b).prompt.begin(), only(b).prompt.end(), 262), 0);
  EXPECT_EQ(verdict(*ask(R"([{"role":"user","content":""}])", R"("continue_final_message":true)")),
            "400 invalid_value continue_final_message");
}

TEST(Plan, TemplatesOfRequests) {
  const std::string more = R"("chat_template":"{% for m in messages %}{{ m.content }}!{% endfor %}")";
  Bench closed;
  EXPECT_EQ(verdict(*closed.chat(more)), "400 unsupported_parameter chat_template");
  ServiceOptions options;
  options.request_templates = true;
  Bench open(options);
  EXPECT_EQ(verdict(*open.chat(more)), "200");
  EXPECT_EQ(only(open).prompt, bytes_as_ids("Hi!"));
  EXPECT_EQ(verdict(*open.chat(R"("chat_template":"{% for")")), "400 invalid_value chat_template");
  EXPECT_EQ(verdict(*open.chat(R"("chat_template":"{{ raise_exception('no') }}")")), "400 invalid_value messages");
  EXPECT_EQ(verdict(*open.chat(R"("chat_template":"{% for i in range(999999999) %}{% endfor %}")")), "400 invalid_value messages");
}

TEST(Plan, ModelsWithoutTemplate) {
  Bench b({}, test_model(false));
  const auto x = b.chat("");
  EXPECT_EQ(verdict(*x), "400 no_chat_template messages");
  EXPECT_NE(x->body()["error"]["message"].get<std::string>().find("/v1/completions"), std::string::npos);
}

TEST(Plan, SaltsKeepKeysApart) {
  Bench b;
  b.post("/v1/completions", R"({"prompt":"a"})", "alice");
  const std::string alice = only(b).cache_salt;
  b.post("/v1/completions", R"({"prompt":"a"})", "bob");
  const std::string bob = only(b).cache_salt;
  b.post("/v1/completions", R"({"prompt":"a","cache_salt":"s"})", "alice");
  const std::string salted = only(b).cache_salt;
  EXPECT_EQ((std::set<std::string>{alice, bob, salted}).size(), 3u);
  b.post("/v1/completions", R"({"prompt":"a"})", "alice");
  EXPECT_EQ(only(b).cache_salt, alice);
}

}  // namespace
}  // namespace infernum::server::testing
