#include "runtime/stop_matcher.h"

#include <gtest/gtest.h>

namespace infernum {
namespace {

TEST(StopMatcher, FindsTheEarliestStopHoweverTheTextIsCut) {
  const std::string text = "one two<|en|<|end|>three</s>";
  for (size_t piece = 1; piece <= text.size(); piece++) {
    StopMatcher m({"</s>", "<|end|>", ""});
    std::string out;
    for (size_t i = 0; i < text.size(); i += piece) out += m.push(text.substr(i, piece));
    EXPECT_TRUE(m.stopped());
    EXPECT_EQ(out + m.finish(), "one two<|en|") << piece;
  }
}

TEST(StopMatcher, HoldsBackOnlyWhatCouldBecomeAStop) {
  StopMatcher m({"abab"});
  EXPECT_EQ(m.push("xa"), "x");
  EXPECT_EQ(m.push("b"), "");
  EXPECT_EQ(m.push("ac"), "abac");
  EXPECT_EQ(m.push("aba"), "");
  EXPECT_EQ(m.finish(), "aba");
  EXPECT_FALSE(m.stopped());
}

TEST(StopMatcher, WithoutStopsTextPassesThrough) {
  StopMatcher m({});
  EXPECT_EQ(m.push("anything"), "anything");
  EXPECT_EQ(m.finish(), "");
}

}  // namespace
}  // namespace infernum
