// Fuzz target: any template source against a fixed conversation, under tight limits, in both dialects.
#include <cstdint>
#include <nlohmann/json.hpp>

#include "text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace infernum;
  static const auto messages = nlohmann::ordered_json::parse(R"json([
    {"role": "system", "content": "Be brief <b>&</b> \u6f22"},
    {"role": "user", "content": [{"type": "text", "text": "It's \"a\"\n"}, {"type": "image"}]},
    {"role": "assistant", "content": null,
     "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"x": 1.5, "y": [true, -3]}}}]},
    {"role": "tool", "content": "{\"t\": 21}"}])json");
  static const auto tools = nlohmann::ordered_json::parse(R"([{"type": "function", "function": {"name": "f", "parameters": {}}}])");
  static const auto extra = nlohmann::ordered_json::parse(R"({"enable_thinking": false, "n": 12, "s": "text"})");
  Limits limits;
  limits.source_bytes = 1 << 14;
  limits.output_bytes = limits.string_bytes = 1 << 18;
  limits.memory_bytes = 1 << 24;
  limits.steps = 100'000;
  limits.loop_iterations = 10'000;
  ChatInputs inputs;
  inputs.messages = &messages;
  inputs.tools = &tools;
  inputs.extra = &extra;
  inputs.special_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  inputs.now = 1785074589;
  const std::string source(reinterpret_cast<const char*>(data), size);
  for (const Dialect dialect : {Dialect::Extended, Dialect::Reference}) {
    try {
      const auto spans = ChatTemplate(source, limits, dialect).render(inputs);
      if (joined(spans).size() > limits.output_bytes) __builtin_trap();
      for (size_t i = 0; i < spans.size(); i++)
        if (spans[i].text.empty() || (i && spans[i].trusted == spans[i - 1].trusted)) __builtin_trap();
    } catch (const TemplateError&) {}
  }
  return 0;
}
