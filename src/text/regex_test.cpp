// Regexes: Ruby's syntax, limits, and the hand-written scanners against the regexes they stand for.
#include "text/regex.h"

#include <gtest/gtest.h>

#include <random>

#include "core/check.h"
#include "text/scanners.h"

namespace infernum::text {
namespace {

std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
  std::vector<Span> spans;
  Regex(pattern).find_all(text, spans);
  std::vector<std::string> found;
  for (const Span& s : spans) found.push_back(text.substr(s.begin, s.end - s.begin));
  return found;
}

using Strings = std::vector<std::string>;

TEST(Regex, RubySyntaxKeepsItsMeaning) {
  EXPECT_EQ(matches("\\p{N}{1,3}+", "1234567"), (Strings{"1234567"}));  // repeats again; not possessive
  EXPECT_EQ(matches("(?:ab){2}+c", "ababababc"), (Strings{"ababababc"}));
  EXPECT_EQ(matches("[a-z&&[^aeiou]]+", "hello"), (Strings{"h", "ll"}));
  EXPECT_EQ(matches("[a[0-9]]+", "xa12b"), (Strings{"a12"}));
  EXPECT_EQ(matches("[^a[0-9]]+", "xa12b\n"), (Strings{"x", "b\n"}));
  EXPECT_EQ(matches("[^a-z&&[^aeiou]]+", "heLlo"), (Strings{"eL", "o"}));
  EXPECT_EQ(matches("\\h+", "xyzBEEF!"), (Strings{"BEEF"}));
  EXPECT_EQ(matches("\\s", "\xC2\x85\xE1\xA0\x8E\xE3\x80\x80"), (Strings{"\xC2\x85", "\xE3\x80\x80"}));  // U+180E is no White_Space
  EXPECT_EQ(matches("[^\\s]+", "a b"), (Strings{"a", "b"}));
  EXPECT_EQ(matches("\\w+", "né_1 b"), (Strings{"né_1", "b"}));
  EXPECT_EQ(matches("^a$", "a\na"), (Strings{"a", "a"}));
  EXPECT_EQ(matches("(?i:'s)", "'S'\xC5\xBF"), (Strings{"'S", "'\xC5\xBF"}));
  EXPECT_EQ(matches("\\u00e9", "é"), (Strings{"é"}));
  EXPECT_EQ(matches("a{,2}", "aaa"), (Strings{"aa", "a"}));
  EXPECT_EQ(matches("{x}", "{x}"), (Strings{"{x}"}));
  EXPECT_EQ(matches("(?<y>\\d)\\k<y>", "122"), (Strings{"22"}));
  EXPECT_EQ(matches("a*", "baab"), (Strings{"aa"}));               // empty matches are none
  EXPECT_EQ(matches("\\p{Han}+", "a漢字。b"), (Strings{"漢字"}));  // the script, not its extensions
  EXPECT_EQ(matches("\\P{Han}+|\\p{^Han}", "漢ab。"), (Strings{"ab。"}));
}

TEST(Regex, BadPatternsAreRefusedWithTheirText) {
  for (const char* pattern : {"(", "[a", "a\\", "[]", "(*FAIL)a", "\\p{NoSuch}", "x{3,1}", "\\Qa\\E", "[\\W]", "\\x{zz}"}) {
    try {
      Regex{pattern};
      FAIL() << pattern;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("regex"), std::string::npos) << e.what();
    }
  }
}

TEST(Regex, CatastrophicPatternsStop) {
  const std::string text(64, 'a');
  std::vector<Span> spans;
  EXPECT_THROW(Regex("(?:a+)+$b|(a|aa)+c").find_all(text, spans), Error);
}

TEST(Scanners, EqualTheRegexesTheyStandFor) {
  using namespace regexes;
  const std::string_view alphabet[] = {"a",       "b", "Z", "S", "'",  "s",  "t",    "re",           "LL",   "\xC5\xBF", "é",
                                       "É",       "ǅ", "ʰ", "א", "漢", "字", "か",   "ー",           "〇",   "\xCC\x81", "ा",
                                       "1",       "٣", "½", "Ⅳ", " ",  "  ", "\n",   "\r\n",         "\t",   "\xC2\xA0", "\xE3\x80\x80",
                                       "!",       "/", "$", "+", "。", "—",  "🦙", "\xE2\x80\x8D", "\x01", "<",        "_",
                                       "\xC2\x85"};
  std::mt19937 random(7);
  for (const std::string_view regex : {gpt2_regex, llama3_regex, qwen2_regex, qwen35_regex, o200k_regex, tekken_regex, kimi_regex,
                                       deepseek_v3_regex, deepseek_cjk_regex, one_number, number_run, numbers_of3, digits_of3}) {
    const Scanner scan = known_scanner(regex);
    ASSERT_NE(scan, nullptr);
    const Regex compiled(regex);
    RegexMatcher reference(compiled);
    for (int round = 0; round < 1000; ++round) {
      std::string text;
      for (size_t n = random() % 14; n > 0; --n) text += alphabet[random() % std::size(alphabet)];
      std::vector<Span> expected;
      reference.find_all(text, expected);
      std::vector<std::pair<size_t, size_t>> want, found;
      for (const Span& s : expected) want.emplace_back(s.begin, s.end);
      for (size_t at = 0; at < text.size();) {
        const size_t end = scan(CharTable::get(), text, at);
        if (end > at) found.emplace_back(at, end);
        at = end > at ? end : at + utf8_bytes(text[at]);
      }
      ASSERT_EQ(found, want) << regex << "\non <" << text << ">";
    }
  }
}

}  // namespace
}  // namespace infernum::text
