// The JSON writer against nlohmann's reader.
#include "server/json_writer.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "checkpoint/checkpoint.h"
#include "server/openai/served_model.h"

namespace infernum::server {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  append_string(out, text);
  return out;
}

TEST(JsonWriter, EscapesWhatStringsCannotHold) {
  EXPECT_EQ(escaped("a\"b\\c\n\r\t\b\f"), R"("a\"b\\c\n\r\t\b\f")");
  EXPECT_EQ(escaped(std::string_view("\0\x01\x1f\x7f", 4)), R"("\u0000\u0001\u001f\u007f")");
  EXPECT_EQ(escaped("\xE2\x80\xA8|\xE2\x80\xA9|\xE2\x80\xA7|\xE2\x82\xAC|漢😀"), "\"\\u2028|\\u2029|\xE2\x80\xA7|\xE2\x82\xAC|漢😀\"");
  EXPECT_EQ(escaped("\xE2"), "\"\xE2\"");
  EXPECT_EQ(escaped(""), "\"\"");
}

TEST(JsonWriter, WhatItWritesReadsBack) {
  std::mt19937 random(1);
  const char* pieces[] = {"a", "\"", "\\", "\n", "é", "\xE2\x80\xA8", "\xE2\x80\xA9", "😀", "/", "\x02"};
  for (int round = 0; round < 500; round++) {
    std::string text;
    for (size_t i = random() % 20; i > 0; i--) text += pieces[random() % std::size(pieces)];
    EXPECT_EQ(nlohmann::json::parse(escaped(text)), text);
    const float value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    std::string digits;
    append_number(digits, value);
    if (std::isfinite(value)) {
      EXPECT_EQ(nlohmann::json::parse(digits).get<float>(), value);
    }
  }
}

TEST(JsonWriter, NumbersThatJsonLacks) {
  std::string out;
  JsonWriter(out).begin_list().number(-INFINITY).number(NAN).number(int64_t{INT64_MIN}).number(0.1).number(0.1f).number(1e300).end_list();
  EXPECT_EQ(out, "[-9999.0,null,-9223372036854775808,0.1,0.1,1e+300]");
}

TEST(JsonWriter, PutsTheCommas) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().key("a").begin_list().number(int64_t{1}).begin_object().end_object().null().end_list().key("b").boolean(true);
  w.key("c").begin_object().key("d").string("x").end_object().key("e").raw("[]").end_object();
  EXPECT_EQ(out, R"({"a":[1,{},null],"b":true,"c":{"d":"x"},"e":[]})");
}

TEST(ServedModel, TakesWhatTheCheckpointBrings) {
  const ServedModel m = served_model(open_checkpoint(std::string(INFERNUM_SOURCE_DIR) + "/models/storyteller"));
  EXPECT_FALSE(m.end_ids.empty());
  EXPECT_GT(m.tokenizer.vocab_size(), 100);
  const ServedModel given =
      served_model(open_checkpoint(std::string(INFERNUM_SOURCE_DIR) + "/models/storyteller"), "{{ messages[0].content }}");
  ASSERT_TRUE(given.chat);
  EXPECT_EQ(given.chat->source(), "{{ messages[0].content }}");
}

}  // namespace
}  // namespace infernum::server
