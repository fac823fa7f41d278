// The parts of the tokenizers, each against a plain statement of its rule.
#include <gtest/gtest.h>

#include <random>

#include "core/check.h"
#include "text/added_tokens.h"
#include "text/byte_level.h"
#include "text/charsmap.h"
#include "text/merge.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/token_map.h"
#include "text/trie.h"
#include "text/unicode.h"

namespace infernum::text {
namespace {

TEST(Utf8, IllFormedPartsAreCutAsUnicodeSays) {
  EXPECT_EQ(to_valid_utf8("a\x80z"), "a\xEF\xBF\xBDz");
  EXPECT_EQ(to_valid_utf8("\xF0\x9F\xA6"), "\xEF\xBF\xBD");                          // one cut-off character
  EXPECT_EQ(to_valid_utf8("\xF0\x9Fx"), "\xEF\xBF\xBDx");                            // maximal subpart
  EXPECT_EQ(to_valid_utf8("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // a surrogate: no prefix of it is possible
  EXPECT_EQ(to_valid_utf8("\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(to_valid_utf8("\xF4\x90\x80\x80").size(), 12u);
  EXPECT_EQ(to_valid_utf8("é漢🦙"), "é漢🦙");
}

TEST(Normalizer, LongRunsOfMarksAreSortedFast) {
  std::string text = "a";
  for (int i = 0; i < 20000; ++i) text += i % 2 ? "\xCC\xA3" : "\xCC\x81";  // U+0323 below, U+0301 above, in the wrong order
  const std::string nfc = Normalizer({UnicodeNormalizer{NormalForm::NFC}})(text);
  EXPECT_EQ(nfc.substr(0, 3), "\xE1\xBA\xA1");  // U+1EA1: the mark below comes first
  EXPECT_EQ(Normalizer({UnicodeNormalizer{NormalForm::NFC}})(nfc), nfc);
}

std::string normalized(NormalizerStep step, const std::string& text) {
  std::vector<NormalizerStep> steps;
  steps.push_back(std::move(step));
  return Normalizer(std::move(steps))(text);
}

TEST(Normalizer, StepsDoWhatTheirNamesSay) {
  EXPECT_EQ(normalized(UnicodeNormalizer{NormalForm::NFC}, "xe\xCC\x81y"), "xéy");
  EXPECT_EQ(normalized(UnicodeNormalizer{NormalForm::NFKC}, "ﬁ①"), "fi1");
  EXPECT_EQ(normalized(LowercaseNormalizer{}, "ÀİΣ"), "ài\xCC\x87σ");
  EXPECT_EQ(normalized(StripNormalizer{true, false}, " \xC2\xA0 a "), "a ");
  EXPECT_EQ(normalized(StripNormalizer{true, true}, "  "), "");
  EXPECT_EQ(normalized(StripAccentsNormalizer{}, "e\xCC\x81"), "e");
  EXPECT_EQ(normalized(PrependNormalizer{"_"}, "a"), "_a");
  EXPECT_EQ(normalized(PrependNormalizer{"_"}, ""), "");
  EXPECT_EQ(normalized(ReplaceNormalizer{Pattern::regex(" {2,}"), "$0"}, "a   b"), "a$0b");
  EXPECT_EQ(normalized(ByteLevelNormalizer{}, " é"), "ĠÃ©");
  EXPECT_EQ(normalized(NmtNormalizer{}, "a\x01\xE2\x80\x8B\tb"), "a  b");
  EXPECT_EQ(normalized(BertNormalizer{true, true, true, true}, "\tÉ漢\x02"), " e 漢 ");
}

/// A charsmap of one key: units of the double array laid out by hand.
std::string charsmap_blob(unsigned char key, const std::string& value) {
  std::vector<uint32_t> units(1024, 0);
  units[0] = 0u << 10;                        // root: offset 0
  units[key] = key | 1u << 8 | (512u << 10);  // label, has a value, child at key ^ 512
  units[key ^ 512u] = 0x80000000u | 0;        // value: offset of the string
  std::string blob(4, '\0');
  const auto bytes = static_cast<uint32_t>(units.size() * 4);
  std::memcpy(blob.data(), &bytes, 4);
  blob.append(reinterpret_cast<const char*>(units.data()), bytes);
  return blob + value + '\0';
}

TEST(Charsmap, ReplacesAndChecksEveryIndex) {
  const auto map = std::make_shared<Charsmap>(charsmap_blob('q', "kw"));
  EXPECT_EQ(normalized(PrecompiledNormalizer{map}, "aqb"), "akwb");
  EXPECT_EQ(normalized(SentencePieceNormalizer{map, true, true}, " aq  b "), "▁akw▁b");
  EXPECT_THROW(Charsmap("abc"), Error);
  EXPECT_THROW(Charsmap(std::string("\xFF\xFF\xFF\x7F") + "abcd"), Error);
  std::string bad = charsmap_blob('q', "kw");
  const uint32_t beyond = 0x80000000u | 4000;  // a string offset outside of the strings
  std::memcpy(bad.data() + 4 + 4 * ('q' ^ 512), &beyond, 4);
  EXPECT_THROW(Charsmap(bad).shortest("q"), Error);
  const uint32_t far = 'q' | 1u << 8 | 0x1FFFFFu << 10;  // a child outside of the array
  bad = charsmap_blob('q', "kw");
  std::memcpy(bad.data() + 4 + 4 * 'q', &far, 4);
  EXPECT_THROW(Charsmap(bad).shortest("q"), Error);
}

std::vector<std::string> pieces(std::vector<PreTokenizerStep> steps, std::string_view text, bool at_start = true) {
  Pieces p;
  p.text = text;
  p.at_start = at_start;
  PreTokenizer(std::move(steps)).run(p);
  std::vector<std::string> found;
  for (const Piece& piece : p.pieces) found.emplace_back(p.text.substr(piece.begin, piece.end - piece.begin));
  return found;
}

using Strings = std::vector<std::string>;

TEST(PreTokenizer, BehavioursOfASplitter) {
  const auto split = [](SplitBehavior b, bool invert = false) { return pieces({SplitStep{Pattern::literal("-"), b, invert}}, "-a--b-"); };
  EXPECT_EQ(split(SplitBehavior::Isolated), (Strings{"-", "a", "-", "-", "b", "-"}));
  EXPECT_EQ(split(SplitBehavior::Removed), (Strings{"a", "b"}));
  EXPECT_EQ(split(SplitBehavior::Removed, true), (Strings{"-", "-", "-", "-"}));
  EXPECT_EQ(split(SplitBehavior::MergedWithPrevious), (Strings{"-", "a-", "-", "b-"}));
  EXPECT_EQ(split(SplitBehavior::MergedWithNext), (Strings{"-a", "-", "-b", "-"}));
  EXPECT_EQ(split(SplitBehavior::Contiguous), (Strings{"-", "a", "--", "b", "-"}));
}

TEST(PreTokenizer, StepsDoWhatTheirNamesSay) {
  EXPECT_EQ(pieces({WhitespaceStep{}}, "Hi, you_2!? é"), (Strings{"Hi", ",", "you_2", "!?", "é"}));
  EXPECT_EQ(pieces({WhitespaceSplitStep{}}, " a  b,c "), (Strings{"a", "b,c"}));
  EXPECT_EQ(pieces({DelimiterStep{U'|'}}, "a|b||c"), (Strings{"a", "b", "c"}));
  EXPECT_EQ(pieces({BertStep{}}, "a b,c"), (Strings{"a", "b", ",", "c"}));
  EXPECT_EQ(pieces({FixedLengthStep{2}}, "aébcd"), (Strings{"aé", "bc", "d"}));
  EXPECT_EQ(pieces({DigitsStep{true}}, "a12"), (Strings{"a", "1", "2"}));
  EXPECT_EQ(pieces({DigitsStep{false}}, "a12b"), (Strings{"a", "12", "b"}));
  EXPECT_EQ(pieces({PunctuationStep{SplitBehavior::Removed}}, "a.b"), (Strings{"a", "b"}));
  EXPECT_EQ(pieces({MetaspaceStep{"▁", MetaspaceStep::Always, true}}, "a b"), (Strings{"▁a", "▁b"}));
  EXPECT_EQ(pieces({MetaspaceStep{"▁", MetaspaceStep::First, false}}, "a b", false), (Strings{"a▁b"}));
  EXPECT_EQ(pieces({WhitespaceSplitStep{}, MetaspaceStep{"▁", MetaspaceStep::First, true}}, "a b"), (Strings{"▁a", "b"}));
  EXPECT_EQ(pieces({WhitespaceSplitStep{}, MetaspaceStep{"▁", MetaspaceStep::First, true}}, " a b"), (Strings{"a", "b"}));
  EXPECT_EQ(pieces({ByteLevelStep{true, true}}, "a b"), (Strings{" a", " b"}));  // byte level: raw bytes
}

/// The rule itself: the lowest rank, the leftmost of equals, until nothing merges.
template <class Rank>
std::vector<int32_t> naive_merge(std::vector<MergeSymbol> s, const Rank& rank) {
  for (;;) {
    size_t best = SIZE_MAX;
    Merge least;
    for (size_t i = 0; i + 1 < s.size(); ++i)
      if (const Merge m = rank(s[i], s[i + 1]); m.rank < least.rank) {
        least = m;
        best = i;
      }
    if (best == SIZE_MAX) break;
    s[best] = {least.id, s[best].begin, s[best + 1].end};
    s.erase(s.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  std::vector<int32_t> ids;
  for (const MergeSymbol& x : s) ids.push_back(x.id);
  return ids;
}

TEST(Merge, ShortAndLongListsFollowTheRule) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    // A random table: ids 0-2 are letters, merges make ids up to 11.
    Merge table[12][12];
    uint32_t rank = 0;
    for (int32_t id = 3; id < 12; ++id) table[random() % static_cast<unsigned>(id)][random() % static_cast<unsigned>(id)] = {rank++, id};
    const auto lookup = [&](const MergeSymbol& a, const MergeSymbol& b) { return table[a.id][b.id]; };
    SymbolList list;
    std::vector<MergeSymbol> symbols;
    const uint32_t count = random() % 90;
    for (uint32_t i = 0; i < count; ++i) {
      symbols.push_back({static_cast<int32_t>(random() % 3), i, i + 1});
      list.add(symbols.back());
    }
    list.merge(lookup);
    std::vector<int32_t> found;
    for (const MergeSymbol& s : list) found.push_back(s.id);
    ASSERT_EQ(found, naive_merge(symbols, lookup));
  }
}

TEST(Trie, FindsAllPrefixes) {
  const Trie trie({{"a", 0}, {"ab", 1}, {"abc", 2}, {"b", 3}, {"ab", 4}, {"", 9}});
  std::vector<std::pair<size_t, int32_t>> found;
  trie.prefixes("abcd", [&](size_t n, int32_t v) { found.emplace_back(n, v); });
  EXPECT_EQ(found, (std::vector<std::pair<size_t, int32_t>>{{1, 0}, {2, 4}, {3, 2}}));
  EXPECT_EQ(trie.longest("bx").length, 1u);
  EXPECT_EQ(trie.longest("x").value, -1);
}

TEST(TokenMap, HoldsManyKeys) {
  TokenMap map;
  for (int i = 0; i < 5000; ++i) EXPECT_TRUE(map.insert("key" + std::to_string(i), i));
  EXPECT_FALSE(map.insert("key7", 9));
  EXPECT_EQ(map.find("key7"), 7);
  map.insert("key7", 9, true);
  EXPECT_EQ(map.find("key7"), 9);
  EXPECT_EQ(map.find("key5000"), -1);
  EXPECT_EQ(map.find(""), -1);
}

std::string marked(const AddedTokens& tokens, std::string_view text, std::string_view trust = {}, bool special = true) {
  std::vector<Fragment> fragments;
  tokens.split(text, trust, special, fragments);
  std::string out;
  for (const Fragment& f : fragments) {
    out += f.id < 0 ? "(" : "[";
    out += text.substr(f.begin, f.end - f.begin);
    out += f.id < 0 ? ")" : "]";
  }
  return out;
}

TEST(AddedTokens, LeftmostLongestWithStripsAndWords) {
  const AddedTokens tokens({{1, "<a>", false, false, false, false, true},
                            {2, "<a><b>", false, false, false, false, true},
                            {3, "word", true},
                            {4, "<l>", false, true},
                            {5, "<r>", false, false, true}},
                           MatchOrder::LeftmostLongest);
  EXPECT_EQ(marked(tokens, "x<a><b><a>y"), "(x)[<a><b>][<a>](y)");
  EXPECT_EQ(marked(tokens, "word words sword é word"), "[word]( words sword é )[word]");
  EXPECT_EQ(marked(tokens, "a  <l> b <r>  c<r>  <l>"), "(a)[  <l>]( b )[<r>  ](c)[<r>  ][<l>]");
  EXPECT_EQ(marked(tokens, "<a>words", {}, false), "(<a>words)");
  EXPECT_EQ(marked(tokens, "<a> word", {}, false), "(<a> )[word]");
}

TEST(AddedTokens, UntrustedBytesNeverMakeASpecialToken) {
  const AddedTokens tokens({{1, "<s>", false, false, false, false, true}, {2, "x<s>", false, false, false, false, true}},
                           MatchOrder::LeftmostLongest);
  const std::string text = "x<s>";
  EXPECT_EQ(marked(tokens, text), "[x<s>]");
  EXPECT_EQ(marked(tokens, text, std::string("\0\1\1\1", 4)), "(x)[<s>]");
  EXPECT_EQ(marked(tokens, text, std::string("\1\1\1\0", 4)), "(x<s>)");
}

TEST(AddedTokens, LongestFirstCutsTheLongestEverywhere) {
  const AddedTokens tokens({{1, "ab"}, {2, "bcd"}, {3, "\n"}, {4, "\n\n\n"}}, MatchOrder::LongestFirst);
  EXPECT_EQ(marked(tokens, "abcdab"), "(a)[bcd][ab]");
  EXPECT_EQ(marked(tokens, "\n\n\n\n"), "[\n\n\n][\n]");
}

}  // namespace
}  // namespace infernum::text
