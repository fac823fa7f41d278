#include "core/nearest.h"

#include <gtest/gtest.h>

namespace infernum {
namespace {

TEST(Nearest, OrdersByEditDistance) {
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("same", "same"), 0u);
  EXPECT_EQ(nearest("--sed", {"--top-k", "--seed", "--stop"}).front(), "--seed");
}

}  // namespace
}  // namespace infernum
