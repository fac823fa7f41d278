// Fuzz target: any template source against a fixed conversation, under tight limits, in both dialects.
#include <cstdint>
#include <nlohmann/json.hpp>

#include "support/fuzz_seeds.h"
#include "text/chat_template.h"

namespace {

/// Every statement, and most filters, tests and methods, so that mutation begins behind the parser.
std::vector<std::string> make_seeds() {
  return {
      R"({{- bos_token }}{% for message in messages %}{% if loop.first and message['role'] == 'system' -%}{{ message.content | trim }}
         {%- elif message.tool_calls is defined and message.tool_calls %}{% for call in message.tool_calls %}{{ call.function |
           tojson(indent=2) }}
         {%- if not loop.last %}, {% endif %}{% endfor %}{% else %}{{ '<|' ~ message.role ~ '|>' + (message.content if message.content is
           string
         else message.content | map(attribute='text') | select('string') | join(', ')) }}{% endif %}{% endfor %}{% if
           add_generation_prompt %}x{% endif %})",
      R"({% macro show(a, b=2, *rest) %}{{ a }}{{ b }}{{ caller() if caller else '' }}{% endmacro %}{% call show(1) %}in{% endcall %}{{
        show('<', b=n) }}
         {% set ns = namespace(found=false, last=-1) %}{% for m in messages[::-1] recursive %}{% if loop.index0 % 2 == 0 %}{% set ns.found
           = true %}
         {% continue %}{% endif %}{% set ns.last = loop.index %}{% break %}{% else %}none{% endfor %}{{ ns.last }}{{ ns.found | string |
           upper }})",
      R"({% set text %}{{ s | replace('t', 'T') | capitalize }}{% endset %}{{ text[1:-1] }}{{ text.split('e') | list | length }}{{
        text.strip().startswith('T') }}
         {{ [3, 1, 2] | sort(reverse=true) | first }}{{ {'b': 1, 'a': [2]} | dictsort }}{{ {'k': 1}.items() | list }}{{ range(1, 9, 3) |
           list | sum }}
         {{ (1.5 * 4) // 2 ** 3 - -1 }}{{ 'x' in text and not none is defined }}{{ messages | selectattr('role', 'equalto', 'user') | list
           | count }}
         {{ '%s is %d' | format('a', 3) }}{{ text | indent(2, true) }}{{ n | float | round(1) | int | abs }}{{ [1, [2]] | tojson }}{{
           '{"a":[1]}' | from_json }})",
      R"({#- comment -#}{% raw %}{{ x }}{% endraw %}{% filter upper %}a{% endfilter %}{% generation %}g{% endgeneration %}{{
        strftime_now('%d %b %Y') }}
         {% if tools is not none and tools | length > 0 %}{{ tools[0]['function'].name | e | default('d', true) }}{% endif %}
         {% if enable_thinking is false %}{{ raise_exception('no ' ~ missing.x) }}{% endif %}{{ messages[3].content.get('t', 0) }}{{
           'a\n\u00e9' | urlencode }})"};
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned random) {
  static const std::vector<std::string> seeds = make_seeds();
  return infernum::testutil::mutate_from_seeds(seeds, data, size, max_size, random);
}

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
