// JSON of strangers: the same document as nlohmann's parser makes, in linear time, or one clear error.
#include "text/ordered_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "core/check.h"
#include "text/chat_template.h"
#include "text/load_text.h"

namespace infernum {
namespace {

using Json = nlohmann::ordered_json;

/// {"k0":0,"k1":1, ... , "chat_template":"hello"}: 2^18 keys and one.
std::string many_keys() {
  std::string text = "{";
  for (int i = 0; i < 1 << 18; i++) text += "\"k" + std::to_string(i) + "\":" + std::to_string(i) + ",";
  return text + "\"chat_template\":\"hello\"}";
}

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// Far above what it takes under a sanitizer on a slow machine, far below the minutes that a search per key takes.
constexpr double patience = 15;

TEST(OrderedJson, MakesTheDocumentOfTheLibrary) {
  std::string wide = "{";
  for (int i = 0; i < 40; i++) wide += "\"" + std::to_string(i % 30) + "\":[" + std::to_string(i) + "],";
  for (const std::string& text :
       {std::string(R"({"z":1,"a":{"y":[true,false,null,-3,18446744073709551615,1.5e3,"\u00e9\n"],"x":{}},"m":[]})"),
        std::string("[[[]],[{}]]"), std::string("\"text\""), std::string(" 7 "), std::string(R"({"a":1,"b":2,"a":3})"),
        wide + "\"end\":{\"a\":{}}}"}) {
    const Json ours = parse_ordered_json(text, "x"), theirs = Json::parse(text);
    EXPECT_EQ(ours.dump(), theirs.dump());
  }
}

TEST(OrderedJson, RefusesWhatIsNoJson) {
  for (const char* text : {"", "{", "[1,]", "{\"a\"}", "{\"a\":1}}", "\"\xff\"", "nul", "[1e999]"}) {
    try {
      parse_ordered_json(text, "file.json");
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), testing::HasSubstr("file.json: not valid JSON"));
    }
  }
}

TEST(OrderedJson, BoundsTheDepth) {
  const std::string fits = std::string(max_ordered_json_depth, '[') + std::string(max_ordered_json_depth, ']');
  EXPECT_EQ(parse_ordered_json(fits, "x").dump(), fits);
  EXPECT_THROW(parse_ordered_json("[" + fits + "]", "x"), Error);
  EXPECT_THROW(parse_ordered_json(std::string(1 << 20, '['), "x"), Error);
}

TEST(OrderedJson, TakesLinearTime) {
  const std::string text = many_keys();
  const double start = cpu_seconds();
  const Json document = parse_ordered_json(text, "x");
  EXPECT_LT(cpu_seconds() - start, patience);
  EXPECT_EQ(document.size(), (size_t{1} << 18) + 1);
}

TEST(OrderedJson, ReadersOfStrangersTextTakeLinearTime) {
  const std::string text = many_keys();
  const double start = cpu_seconds();
  Checkpoint checkpoint;
  checkpoint.tokenizer_config_json = text;
  EXPECT_TRUE(Chat::available(checkpoint));
  Json call = {{"function", {{"name", "f"}, {"arguments", text}}}};
  const Json messages = Json::array({{{"role", "assistant"}, {"content", text}, {"tool_calls", Json::array({call})}}});
  ChatInputs inputs;
  const Json shaped = shape_messages(messages, MessageForm());
  inputs.messages = &shaped;
  EXPECT_EQ(
      joined(ChatTemplate("{{ (messages[0].content | from_json) | length }} {{ messages[0].tool_calls[0].function.arguments | length }}")
                 .render(inputs)),
      "262145 262145");
  EXPECT_LT(cpu_seconds() - start, patience);
}

}  // namespace
}  // namespace infernum
