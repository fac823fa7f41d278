// Boundary tests generated from the field tables, and by hand for the fields that are lists and objects; hostile bodies.
#include "server/openai/fields.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "server/openai/api_error.h"

namespace infernum::server::openai {
namespace {

DecodeLimits limits() {
  DecodeLimits l;
  l.vocab_size = 1000;
  l.prompt_tokens = 5000;
  return l;
}

/// "" if the body is taken; else "code param".
std::string verdict(std::span<const Field> fields, const std::string& body, DecodeLimits l = limits()) {
  JsonParser parser;
  try {
    read_body(parser, body, fields, l);
    return "";
  } catch (const ApiError& e) {
    EXPECT_EQ(e.status, 400);
    EXPECT_FALSE(e.message.empty());
    return e.code + " " + e.param;
  }
}

std::string with(const Field& field, const std::string& value) { return "{\"" + std::string(field.name) + "\":" + value + "}"; }

struct Table {
  const char* name;
  std::span<const Field> fields;
};
std::vector<Table> tables() {
  return {
      {"chat", chat_fields()}, {"completion", completion_fields()}, {"tokenize", tokenize_fields()}, {"detokenize", detokenize_fields()}};
}

void expect_taken(const Table& t, const Field& f, const std::string& value) {
  EXPECT_EQ(verdict(t.fields, with(f, value)), "") << t.name << " " << f.name << " = " << value;
}
void expect_refused(const Table& t, const Field& f, const std::string& value) {
  const std::string v = verdict(t.fields, with(f, value));
  EXPECT_TRUE(v == "invalid_value " + std::string(f.name) || v.starts_with("invalid_json"))
      << t.name << " " << f.name << " = " << value << ": " << v;
}

std::string number(double x) {
  if (std::trunc(x) == x && std::abs(x) < 1e18) return std::to_string(static_cast<int64_t>(x));
  std::ostringstream text;
  text.precision(17);
  text << x;
  return text.str();
}

TEST(FieldTables, NamesAreUniqueAndNullMeansAbsent) {
  for (const Table& t : tables()) {
    std::set<std::string_view> names;
    for (const Field& f : t.fields) {
      EXPECT_TRUE(names.insert(f.name).second) << t.name << " " << f.name;
      EXPECT_EQ(verdict(t.fields, with(f, "null")), "") << t.name << " " << f.name;
    }
  }
}

TEST(FieldTables, IntegersAtTheirBorders) {
  int seen = 0;
  for (const Table& t : tables())
    for (const Field& f : t.fields) {
      if (!std::holds_alternative<std::optional<int64_t> Asked::*>(f.target)) continue;
      seen++;
      const bool bounded = f.min != -no_bound;
      expect_taken(t, f, bounded ? number(f.min) : "-9223372036854775808");
      expect_taken(t, f, bounded ? number(f.max) : "9223372036854775807");
      expect_taken(t, f, bounded ? number(f.max) + ".0" : "1.0");
      if (bounded) {
        expect_refused(t, f, number(f.min - 1));
        expect_refused(t, f, number(f.max + 1));
        if (f.min > -1) expect_refused(t, f, "-1");
        if (f.max < 2147483648.0) expect_refused(t, f, "2147483648");
      }
      for (const char* bad : {"9223372036854775808", "-9223372036854775809", "18446744073709551616", "1e308", "-1e308", "1e400", "1.5",
                              "NaN", "Infinity", "\"1\"", "true", "[1]", "[]", "{}", "\"\""})
        expect_refused(t, f, bad);
    }
  EXPECT_GT(seen, 15);
}

TEST(FieldTables, NumbersAtTheirBorders) {
  int seen = 0;
  for (const Table& t : tables())
    for (const Field& f : t.fields) {
      if (!std::holds_alternative<std::optional<double> Asked::*>(f.target)) continue;
      seen++;
      if (f.above_min) {
        expect_refused(t, f, number(f.min));
        expect_refused(t, f, "1e-300");  // nothing in 32 bits
        expect_taken(t, f, "1e-6");
      } else {
        expect_taken(t, f, number(f.min));
      }
      expect_taken(t, f, number(f.max));
      expect_taken(t, f, number((f.min + f.max) / 2 + 0.25));
      for (const std::string& bad : {number(f.min - 1), number(f.max + 1), number(std::nextafter(f.max, 1e9)), std::string("-1e308"),
                                     std::string("1e308"), std::string("9223372036854775808"), std::string("NaN"), std::string("-Infinity"),
                                     std::string("\"1\""), std::string("false"), std::string("[0]"), std::string("{}")})
        expect_refused(t, f, bad);
    }
  EXPECT_GT(seen, 10);
}

TEST(FieldTables, FlagsAndTextsTakeNothingElse) {
  for (const Table& t : tables())
    for (const Field& f : t.fields) {
      if (std::holds_alternative<std::optional<bool> Asked::*>(f.target)) {
        expect_taken(t, f, "true");
        expect_taken(t, f, "false");
        for (const char* bad : {"0", "1", "\"true\"", "[]", "{}", "[true]"}) expect_refused(t, f, bad);
      }
      if (std::holds_alternative<std::optional<std::string> Asked::*>(f.target)) {
        expect_taken(t, f, "\"x\"");
        for (const char* bad : {"0", "true", "[\"x\"]", "{}"}) expect_refused(t, f, bad);
      }
    }
}

TEST(FieldTables, NothingIsRefusedWithoutSayingSo) {
  // Whatever a refused field is given, it is refused, or asks for nothing.
  for (const Table& t : tables())
    for (const Field& f : t.fields) {
      if (f.effect != Effect::Refused) continue;
      int refused = 0;
      for (const char* value : {"1", "true", "false", "\"x\"", "[\"x\"]", "[1]", "{\"type\":\"x\"}", "[{\"type\":\"function\"}]"})
        refused += verdict(t.fields, with(f, value)) != "";
      EXPECT_GE(refused, 6) << t.name << " " << f.name;
    }
}

TEST(Fields, HugeListsAreRefused) {
  const auto list = [](size_t n, const std::string& item) {
    std::string text = "[";
    for (size_t i = 0; i < n; i++) text += (i ? "," : "") + item;
    return text + "]";
  };
  const auto chat = chat_fields(), text = completion_fields();
  EXPECT_EQ(verdict(chat, R"({"stop":)" + list(16, "\"x\"") + "}"), "");
  EXPECT_EQ(verdict(chat, R"({"stop":)" + list(17, "\"x\"") + "}"), "invalid_value stop");
  EXPECT_EQ(verdict(chat, R"({"stop":")" + std::string(256, 'x') + "\"}"), "");
  EXPECT_EQ(verdict(chat, R"({"stop":")" + std::string(257, 'x') + "\"}"), "invalid_value stop");
  EXPECT_EQ(verdict(text, R"({"prompt":)" + list(256, "\"x\"") + "}"), "");
  EXPECT_EQ(verdict(text, R"({"prompt":)" + list(257, "\"x\"") + "}"), "invalid_value prompt");
  EXPECT_EQ(verdict(text, R"({"prompt":)" + list(5000, "7") + "}"), "");
  EXPECT_EQ(verdict(text, R"({"prompt":)" + list(5001, "7") + "}"), "invalid_value prompt");
  EXPECT_EQ(verdict(chat, R"({"messages":)" + list(4096, R"({"role":"user","content":"x"})") + "}"), "");
  EXPECT_EQ(verdict(chat, R"({"messages":)" + list(4097, R"({"role":"user","content":"x"})") + "}"), "invalid_value messages");
  const std::string part = R"({"type":"text","text":"x"})";
  EXPECT_EQ(verdict(chat, R"({"messages":[{"role":"user","content":)" + list(1024, part) + "}]}"), "");
  EXPECT_EQ(verdict(chat, R"({"messages":[{"role":"user","content":)" + list(1025, part) + "}]}"), "invalid_value messages.0.content");
  EXPECT_EQ(verdict(chat, R"({"x":)" + list(199'997, "1") + "}"), "");
  EXPECT_EQ(verdict(chat, R"({"x":)" + list(200'001, "1") + "}"), "invalid_json ");
  std::string bias;
  for (int i = 0; i < 1000; i++) bias += (i ? "," : "") + ("\"" + std::to_string(i) + "\":1");
  EXPECT_EQ(verdict(chat, R"({"logit_bias":{)" + bias + "}}"), "");
  EXPECT_EQ(verdict(chat, R"({"logit_bias":{)" + bias + ",\"1000\":1}}"), "invalid_value logit_bias.1000");
}

TEST(Fields, NameTheDottedPath) {
  const auto chat = chat_fields(), text = completion_fields();
  const std::pair<const char*, const char*> cases[] = {
      {R"({"messages":[]})", "invalid_value messages"},
      {R"({"messages":"x"})", "invalid_value messages"},
      {R"({"messages":[7]})", "invalid_value messages.0"},
      {R"({"messages":[{"content":"x"}]})", "invalid_value messages.0.role"},
      {R"({"messages":[{"role":"root","content":"x"}]})", "invalid_value messages.0.role"},
      {R"({"messages":[{"role":"user"}]})", "invalid_value messages.0.content"},
      {R"({"messages":[{"role":"user","content":7}]})", "invalid_value messages.0.content"},
      {R"({"messages":[{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}}]}]})",
       "unsupported_content messages.1.content.1.type"},
      {R"({"messages":[{"role":"user","content":[{"type":"text"}]}]})", "invalid_value messages.0.content.0.text"},
      {R"({"messages":[{"role":"user","content":[{}]}]})", "invalid_value messages.0.content.0.type"},
      {R"({"messages":[{"role":"assistant","tool_calls":[{"function":{}}]}]})", "invalid_value messages.0.tool_calls.0.function.name"},
      {R"({"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":3}}]}]})",
       "invalid_value messages.0.tool_calls.0.function.arguments"},
      {R"({"stop":["a",""]})", "invalid_value stop.1"},
      {R"({"stop":["a",1]})", "invalid_value stop.1"},
      {R"({"stop":""})", "invalid_value stop"},
      {R"({"logit_bias":{"x":1}})", "invalid_value logit_bias.x"},
      {R"({"logit_bias":{"-1":1}})", "invalid_value logit_bias.-1"},
      {R"({"logit_bias":{"1":100.5}})", "invalid_value logit_bias.1"},
      {R"({"logit_bias":{"99999999999999999999":1}})", "invalid_value logit_bias.99999999999999999999"},
      {R"({"stop_token_ids":[1,1000]})", "invalid_value stop_token_ids.1"},
      {R"({"allowed_token_ids":[]})", "invalid_value allowed_token_ids"},
      {R"({"stream_options":{"include_usage":1}})", "invalid_value stream_options.include_usage"},
      {R"({"infernum":{"timings":"x"}})", "invalid_value infernum.timings"},
      {R"({"response_format":{"type":"json_object"}})", "unsupported_parameter response_format.type"},
      {R"({"response_format":{}})", "invalid_value response_format.type"},
      {R"({"tools":[]})", "invalid_value tools"},
      {R"({"tools":[{"type":"function"}]})", "unsupported_parameter tools"},
      {R"({"tool_choice":"auto"})", "invalid_value tool_choice"},
      {R"({"modalities":["text","audio"]})", "unsupported_parameter modalities.1"},
      {R"({"chat_template_kwargs":{"messages":[]}})", "invalid_value chat_template_kwargs.messages"},
      {R"({"chat_template":"x"})", "unsupported_parameter chat_template"},
      {R"({"cache_salt":"a/b"})", "invalid_value cache_salt"},
      {R"({"cache_salt":"a\u0000b"})", "invalid_value cache_salt"},
      {R"({"cache_salt":""})", "invalid_value cache_salt"},
      {R"({"request_id":"a b"})", "invalid_value request_id"},
      {R"({"reasoning_effort":"huge"})", "invalid_value reasoning_effort"},
      {R"({"verbosity":1})", "invalid_value verbosity"},
      {R"({"documents":[1]})", "invalid_value documents.0"},
      {R"({"truncation_side":"up"})", "invalid_value truncation_side"},
      {R"({"service_tier":"gold"})", "invalid_value service_tier"},
  };
  for (const auto& [body, expected] : cases) EXPECT_EQ(verdict(chat, body), expected) << body;
  const std::pair<const char*, const char*> prompts[] = {
      {R"({"prompt":[]})", "invalid_value prompt"},          {R"({"prompt":[[]]})", "invalid_value prompt.0"},
      {R"({"prompt":[[1],[]]})", "invalid_value prompt.1"},  {R"({"prompt":["a",1]})", "invalid_value prompt.1"},
      {R"({"prompt":[1,"a"]})", "invalid_value prompt.1"},   {R"({"prompt":[1000]})", "invalid_value prompt.0"},
      {R"({"prompt":[[-1]]})", "invalid_value prompt.0.0"},  {R"({"prompt":7})", "invalid_value prompt"},
      {R"({"prompt":[1,1.5]})", "invalid_value prompt.1"},   {R"({"prompt":[1,2.0]})", ""},
      {R"({"suffix":"x"})", "unsupported_parameter suffix"}, {R"({"suffix":""})", ""}};
  for (const auto& [body, expected] : prompts) EXPECT_EQ(verdict(text, body), expected) << body;
}

TEST(Fields, ValuesThatAskForNothingPass) {
  for (const char* body :
       {R"({"tool_choice":"none"})", R"({"response_format":{"type":"text"}})", R"({"modalities":["text"]})", R"({"n_probs":0})",
        R"({"use_beam_search":false})", R"({"include_reasoning":true})", R"({"store":true,"user":"x","metadata":{"a":"b"}})"})
    EXPECT_EQ(verdict(chat_fields(), body), "") << body;
}

TEST(Fields, UnknownOnesAreRememberedOrRefused) {
  JsonParser parser;
  const Asked asked = read_body(parser, R"({"foo":1,"user":"x","stream_options":{"bar":2}})", chat_fields(), limits());
  EXPECT_EQ(asked.unknown, (std::vector<std::string>{"foo", "stream_options.bar"}));
  EXPECT_EQ(asked.without_effect, std::vector<std::string>{"user"});
  DecodeLimits strict = limits();
  strict.strict_fields = true;
  EXPECT_EQ(verdict(chat_fields(), R"({"foo":1})", strict), "unknown_parameter foo");
  EXPECT_EQ(verdict(chat_fields(), R"({"stream_options":{"bar":2}})", strict), "unknown_parameter stream_options.bar");
  EXPECT_EQ(verdict(chat_fields(), R"({"foo":null})", strict), "unknown_parameter foo");
}

TEST(Bodies, HostileOnesAreRefused) {
  const auto fields = chat_fields();
  const auto nested = [](size_t n) { return "{\"x\":" + std::string(n, '[') + std::string(n, ']') + "}"; };
  EXPECT_EQ(verdict(fields, nested(63)), "") << "64 levels with the root";
  EXPECT_EQ(verdict(fields, nested(64)), "invalid_json ");
  EXPECT_EQ(verdict(fields, nested(100'000)), "invalid_json ");
  std::string objects;
  for (int i = 0; i < 100'000; i++) objects += "{\"a\":";
  EXPECT_EQ(verdict(fields, objects), "invalid_json ");
  for (const char* bad : {"",
                          " ",
                          "null",
                          "7",
                          "\"x\"",
                          "[]",
                          "{",
                          "}",
                          "{}x",
                          "{} {}",
                          "{\"a\":1,}",
                          "{'a':1}",
                          "{\"a\"}",
                          "{\"a\":NaN}",
                          "{\"a\":01}",
                          "{\"a\":\"\\ud800\"}",
                          "{\"a\":\"\\udc00\\ud800\"}",
                          "{\"a\":\"\xff\"}",
                          "{\"a\":\"\xed\xa0\x80\"}",
                          "{\"a\":\"\xc0\x80\"}",
                          "{\"a\":\"\n\"}",
                          "{\"a\":\"\\x\"}",
                          "\xef\xbb\xbf{\"a\":\xff}"})
    EXPECT_EQ(verdict(fields, bad).substr(0, 12), "invalid_json") << bad;
  EXPECT_EQ(verdict(fields, std::string("{}\0", 3)).substr(0, 12), "invalid_json");
  EXPECT_EQ(verdict(fields, std::string("{\"a\":\"\0\"}", 9)).substr(0, 12), "invalid_json");
  EXPECT_EQ(verdict(fields, R"({"n":1,"n":2})"), "invalid_json n");
  EXPECT_EQ(verdict(fields, R"({"a":{"b":[{"c":1,"d":2,"c":3}]}})"), "invalid_json c");
  EXPECT_EQ(verdict(fields, R"({"a\u0062":1,"ab":2})"), "invalid_json ab") << "keys are compared as they read";
}

TEST(Bodies, LongStringsPass) {
  const std::string text(size_t{10} << 20, 'x');
  JsonParser parser;
  const Asked asked = read_body(parser, "{\"prompt\":\"" + text + "\"}", completion_fields(), limits());
  EXPECT_EQ(std::get<std::string>(asked.prompts.at(0)), text);
  const Asked next = read_body(parser, R"({"prompt":"a\u0000b\u2028"})", completion_fields(), limits());
  EXPECT_EQ(std::get<std::string>(next.prompts.at(0)), std::string("a\0b\xE2\x80\xA8", 6));
}

TEST(Bodies, ManyKeysTakeLinearTime) {
  std::string object = "{";
  for (int i = 0; i < 90'000; i++) object += (i ? ",\"k" : "\"k") + std::to_string(i) + "\":1";
  object += "}";
  EXPECT_EQ(verdict(chat_fields(), R"({"chat_template_kwargs":)" + object + "}"), "");
  EXPECT_EQ(verdict(chat_fields(), R"({"messages":[)" + object + "]}"), "invalid_value messages.0");
}

TEST(ApiDocs, TheSupportTablesAreTrue) {
  std::ifstream file(INFERNUM_SOURCE_DIR "/docs/api.md");
  std::stringstream all;
  all << file.rdbuf();
  const std::string docs = all.str();
  std::string missing;
  for (const Table& t : tables()) {
    const size_t begin = docs.find("<!-- fields: " + std::string(t.name) + " -->");
    ASSERT_NE(begin, std::string::npos) << t.name;
    const std::string part = docs.substr(begin, docs.find("<!-- end -->", begin) - begin);
    size_t rows = 0;
    for (const Field& f : t.fields) {
      const std::string range = range_text(f), type = std::string(f.type) + (range.empty() ? "" : ", " + range);
      const std::string effect = f.effect == Effect::Used ? "yes" : f.effect == Effect::NoEffect ? "no effect" : "400";
      const std::string row = "| `" + std::string(f.name) + "` | " + type + " | " + effect + " | " + std::string(f.about) + " |\n";
      if (part.find(row) == std::string::npos) missing += std::string(t.name) + ": " + row;
      rows++;
    }
    EXPECT_EQ(static_cast<size_t>(std::count(part.begin(), part.end(), '\n')), rows + 3) << t.name << ": rows of fields that do not exist";
  }
  EXPECT_EQ(missing, "") << "docs/api.md lacks these rows";
}

}  // namespace
}  // namespace infernum::server::openai
