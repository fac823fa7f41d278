// traceparent: what the recommendation of the W3C takes and what it does not.
#include "server/trace_parent.h"

#include <gtest/gtest.h>

namespace infernum::server {
namespace {

const std::string trace = "0af7651916cd43dd8448eb211c80319c", span = "b7ad6b7169203331";

TEST(TraceParent, IsRead) {
  const auto parent = parse_trace_parent("00-" + trace + "-" + span + "-01");
  ASSERT_TRUE(parent);
  EXPECT_EQ(parent->trace, trace);
  EXPECT_EQ(parent->span, span);
  EXPECT_TRUE(parent->sampled);
  EXPECT_FALSE(parse_trace_parent("00-" + trace + "-" + span + "-00")->sampled);
  EXPECT_FALSE(parse_trace_parent("00-" + trace + "-" + span + "-fe")->sampled);
  EXPECT_TRUE(parse_trace_parent("cc-" + trace + "-" + span + "-0b-what-comes-later")->sampled);
}

TEST(TraceParent, MalformedOnesCountAsNone) {
  const std::string zeros(32, '0');
  for (const std::string& bad :
       {std::string(), "00-" + trace + "-" + span, "00-" + trace + "-" + span + "-1", "00-" + trace + "-" + span + "-01-more",
        "ff-" + trace + "-" + span + "-01", "00-" + zeros + "-" + span + "-01", "00-" + trace + "-" + zeros.substr(16) + "-01",
        "00-" + trace.substr(1) + "X-" + span + "-01", "00_" + trace + "-" + span + "-01", "0x-" + trace + "-" + span + "-01",
        "01-" + trace + "-" + span + "-01more"})
    EXPECT_FALSE(parse_trace_parent(bad)) << bad;
}

}  // namespace
}  // namespace infernum::server
