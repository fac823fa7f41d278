// Fuzz target: any body to the decoders of chats and completions, and what they take on to a plan for the engine.
#include <cstdint>

#include "server/openai/api_error.h"
#include "server/openai/fields.h"
#include "server/openai/plan.h"
#include "support/fuzz_seeds.h"

namespace {

using namespace infernum;
using namespace infernum::server;
using namespace infernum::server::openai;

std::vector<std::string> make_seeds() {
  return {
      R"({"model":"tiny","messages":[{"role":"system","content":"be"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"refusal","refusal":"b"}]},
         {"role":"assistant","content":null,"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"x"}],
         "stop":["a","b"],"logit_bias":{"1":-100,"2":5.5},"n":2,"seed":-9,"temperature":0.5,"top_p":1,"logprobs":true,"top_logprobs":3,
         "stream":true,"stream_options":{"include_usage":true},"chat_template_kwargs":{"enable_thinking":false},"reasoning_effort":"low"})",
      R"({"prompt":"hello the","max_tokens":5,"echo":true,"logprobs":2,"best_of":1,"min_p":0.1,"top_k":-1,"repetition_penalty":1.1,
         "truncate_prompt_tokens":3,"truncation_side":"left","cache_salt":"s","request_id":"r","infernum":{"timings":true},"ignore_eos":true})",
      R"({"prompt":[[1,2],[3]],"stop_token_ids":[4],"allowed_token_ids":[5,6],"bad_words":["a"],"min_tokens":1,"prompt_logprobs":0})",
      R"({"prompt":["a","b"],"user":"u","metadata":{},"response_format":{"type":"text"},"tool_choice":"none","frequency_penalty":-2})",
      R"({"messages":[{"role":"user","content":"x"},{"role":"assistant","content":" Once"}],"continue_final_message":true,"echo":true,
         "documents":[{"title":"t","text":"d"}],"add_special_tokens":true,"verbosity":"low"})"};
}

ServedModel make_model() {
  std::string vocab;
  for (char c = 'a'; c <= 'z'; c++) vocab += std::string(vocab.empty() ? "" : ",") + "\"" + c + "\":" + std::to_string(c - 'a');
  const std::string json = R"({"version":"1.0","added_tokens":[{"id":26,"content":"<e>","single_word":false,"lstrip":false,"rstrip":false,
      "normalized":false,"special":true}],"normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,
      "use_regex":true},"post_processor":null,"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","merges":[],"vocab":{)" +
                           vocab + "}}}";
  ServedModel m{std::make_shared<ServedNames>(std::vector<std::string>{"tiny"}),
                Tokenizer::from_json(json, R"({"eos_token":"<e>"})"),
                nullptr,
                {},
                {26},
                {},
                64,
                "",
                0,
                ""};
  m.chat = std::make_shared<const ChatPrompt>(m.tokenizer, "{% for m in messages %}{{ m.role }}{{ m.content }}<e>{% endfor %}");
  return m;
}

void run(Shape shape, std::string_view body, const ServedModel& model) {
  DecodeLimits decode;
  decode.vocab_size = 27;
  PlanLimits limits;
  limits.context = 64;
  limits.vocab_size = 27;
  try {
    JsonParser parser;
    Asked asked = read_body(parser, body, shape == Shape::Chat ? chat_fields() : completion_fields(), decode);
    const Plan plan = make_plan(std::move(asked), shape, model, limits, 1);
    check_sampling(plan.request.sampling, 27);  // what is taken, an engine can run
    for (const TokenIds& prompt : plan.prompts) {
      check(!prompt.empty() && static_cast<int64_t>(prompt.size()) + plan.request.max_tokens <= 64, "the plan fits the context");
      for (const int32_t id : prompt) check(id >= 0 && id < 27, "ids lie in the vocabulary", id);
    }
    check(plan.seeds.size() == static_cast<size_t>(plan.n), "each choice has a seed");
  } catch (const ApiError& e) {
    check(e.status == 400 || e.status == 404, "a wrong request is the client's mistake", e.status);
    check(!e.message.empty() && !e.code.empty(), "an error says what is wrong");
  }
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned random) {
  static const std::vector<std::string> seeds = make_seeds();
  return infernum::testutil::mutate_from_seeds(seeds, data, size, max_size, random);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ServedModel model = make_model();
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  run(Shape::Chat, body, model);
  run(Shape::Completion, body, model);
  return 0;
}
