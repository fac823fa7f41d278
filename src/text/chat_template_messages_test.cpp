// Choice of templates, and the forms of messages they want.
#include "text/chat_template_messages.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "text/chat_template_source.h"

namespace infernum {
namespace {

using Json = nlohmann::ordered_json;

TEST(TemplateSource, TheFileWinsOverTheConfiguration) {
  const Json config = {{"chat_template", "inside"}};
  EXPECT_EQ(*select_template(template_sources(config, "file"), true), "file");
  EXPECT_EQ(*select_template(template_sources(config), true), "inside");
  EXPECT_EQ(select_template(template_sources(Json::object()), false), nullptr);
  EXPECT_EQ(select_template(template_sources({{"chat_template", nullptr}}), false), nullptr);
  EXPECT_EQ(*select_template(template_sources(nullptr, "file"), false), "file");
}

TEST(TemplateSource, AListHoldsNamedTemplates) {
  const Json config = {{"chat_template", {{{"name", "default"}, {"template", "d"}}, {{"name", "tool_use"}, {"template", "t"}}}}};
  EXPECT_EQ(*select_template(template_sources(config), false), "d");
  EXPECT_EQ(*select_template(template_sources(config), true), "t");
  const Json one = {{"chat_template", Json::array({{{"name", "default"}, {"template", "d"}}})}};
  EXPECT_EQ(*select_template(template_sources(one), true), "d");
  const Json rag = {{"chat_template", Json::array({{{"name", "rag"}, {"template", "r"}}})}};
  EXPECT_EQ(select_template(template_sources(rag), true), nullptr);
  EXPECT_THROW(template_sources({{"chat_template", 3}}), Error);
  EXPECT_THROW(template_sources({{"chat_template", Json::array({{{"name", "default"}}})}}), Error);
}

TEST(TemplateSource, GgufKeys) {
  std::map<std::string, std::string, std::less<>> keys = {{"tokenizer.chat_template", "d"}};
  auto find = [&](std::string_view key) {
    auto at = keys.find(key);
    return at == keys.end() ? std::nullopt : std::optional<std::string>(at->second);
  };
  EXPECT_EQ(*select_template(template_sources_gguf(find), true), "d");
  keys["tokenizer.chat_template.tool_use"] = "t";
  EXPECT_EQ(*select_template(template_sources_gguf(find), true), "t");
  EXPECT_EQ(*select_template(template_sources_gguf(find), false), "d");
  keys.clear();
  EXPECT_EQ(select_template(template_sources_gguf(find), false), nullptr);
}

MessageForm detect(const std::string& source) { return detect_message_form(ChatTemplate(source)); }

TEST(MessageForm, ATemplateThatConcatenatesWantsStrings) {
  const MessageForm form =
      detect("{% for m in messages %}{{ m.role + ': ' + m.content }}{{ m.tool_calls|default([])|tojson }}{% endfor %}");
  EXPECT_EQ(form, (MessageForm{.parts = false, .only_parts = false, .argument_objects = true, .null_content = false}));
  const MessageForm printing = detect("{% for m in messages %}{{ m.content }}{% endfor %}");
  EXPECT_FALSE(printing.parts) << "a printed list is no iteration";
  EXPECT_FALSE(printing.null_content) << "a printed None is no content";
}

TEST(MessageForm, ATemplateThatIteratesKeepsParts) {
  const MessageForm both = detect(
      "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% elif m.content %}{% for p in m.content %}{{ p.text }}{% endfor "
      "%}"
      "{% endif %}{% endfor %}");
  EXPECT_TRUE(both.parts);
  EXPECT_FALSE(both.only_parts);
  EXPECT_TRUE(both.null_content);
  const MessageForm only =
      detect("{% for m in messages %}{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}{% endfor %}");
  EXPECT_TRUE(only.parts && only.only_parts);
}

TEST(MessageForm, ATemplateForToolUseIsTriedWithTools) {
  const std::string tools = "{% for t in tools %}{{ t.function.name }}{% endfor %}";
  EXPECT_TRUE(detect(tools + "{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}").parts);
}

TEST(MessageForm, ArgumentsAreObjectsUnlessTheTemplateConcatenatesThem) {
  const std::string head = "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}", tail = "{% endfor %}{% endfor %}";
  EXPECT_TRUE(detect(head + "{{ c.function.arguments|tojson }}" + tail).argument_objects);
  EXPECT_TRUE(detect(head + "{% for k, v in c.function.arguments|items %}{{ k }}={{ v }}{% endfor %}" + tail).argument_objects);
  EXPECT_FALSE(detect(head + "{{ 'args: ' + c.function.arguments }}" + tail).argument_objects);
  EXPECT_FALSE(detect(head + "{{ c.function.arguments }}" + tail).argument_objects) << "Python's printing of an object is no JSON";
  EXPECT_TRUE(detect(head + tail).argument_objects);
}

TEST(ShapeMessages, ContentAndArguments) {
  const Json call = {{"id", "1"}, {"function", {{"name", "f"}, {"arguments", R"({"b": 1, "a": 2.0})"}}}};
  const Json messages = {{{"role", "user"}, {"content", {{{"type", "text"}, {"text", "One. "}}, {{"type", "text"}, {"text", "Two."}}}}},
                         {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", Json::array({call})}},
                         {{"role", "assistant"}}};
  const Json plain = shape_messages(messages, {});
  EXPECT_EQ(plain[0]["content"], "One. Two.");
  EXPECT_EQ(plain[1]["content"], "");
  EXPECT_EQ(plain[1]["tool_calls"][0]["function"]["arguments"].dump(), R"({"b":1,"a":2.0})");
  EXPECT_EQ(plain[2], messages[2]) << "no key is added";

  const Json kept = shape_messages(messages, {.parts = true, .only_parts = false, .argument_objects = false, .null_content = true});
  EXPECT_EQ(kept, messages);
  const Json wrapped = shape_messages(Json{{{"role", "user"}, {"content", "x"}}}, {.parts = true, .only_parts = true});
  EXPECT_EQ(wrapped[0]["content"].dump(), R"([{"type":"text","text":"x"}])");
  const Json strings = shape_messages(plain, {.argument_objects = false});
  EXPECT_EQ(strings[1]["tool_calls"][0]["function"]["arguments"], R"({"b":1,"a":2.0})");
}

TEST(ShapeMessages, WhatCannotBeShapedStays) {
  const Json image = {{{"role", "user"}, {"content", {{{"type", "text"}, {"text", "a"}}, {{"type", "image"}}}}}};
  EXPECT_EQ(shape_messages(image, {}), image);
  for (const std::string& arguments : {std::string("not json"), std::string("[1]"), "{\"a\":" + std::string(100000, '[')}) {
    const Json messages = {{{"role", "assistant"}, {"tool_calls", Json::array({{{"function", {{"arguments", arguments}}}}})}}};
    EXPECT_EQ(shape_messages(messages, {}), messages);
  }
  EXPECT_EQ(shape_messages("text", {}), Json("text"));
  EXPECT_EQ(shape_messages(Json::array({3, nullptr}), {}), Json::array({3, nullptr}));
}

}  // namespace
}  // namespace infernum
