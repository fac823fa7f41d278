// Faults: what a specification means, and what is said of a wrong one.
#include "runtime/faults.h"

#include <gtest/gtest.h>

#include "core/check.h"

namespace infernum {
namespace {

using Place = Faults::Place;
using Action = Faults::Action;

TEST(Faults, HappenWhereTheyWereOrdered) {
  const Faults f = Faults::parse(
      "step:17:throw,request:3:nan,step:5:sleep:200ms,step:*:sleep:1s,submit:4:full,step:9:die,step:6:oom,request:2:oom,step:8:lost");
  EXPECT_TRUE(f.at(Place::Step, 17, Action::Throw));
  EXPECT_FALSE(f.at(Place::Step, 16, Action::Throw));
  EXPECT_FALSE(f.at(Place::Request, 17, Action::Throw));
  EXPECT_TRUE(f.at(Place::Request, 3, Action::Nan));
  EXPECT_TRUE(f.at(Place::Submit, 4, Action::Full));
  EXPECT_TRUE(f.at(Place::Step, 9, Action::Die));
  EXPECT_TRUE(f.at(Place::Step, 6, Action::Oom));
  EXPECT_TRUE(f.at(Place::Request, 2, Action::Oom));
  EXPECT_TRUE(f.at(Place::Step, 8, Action::Lost));
  EXPECT_EQ(f.sleep(5), std::chrono::milliseconds(1200));
  EXPECT_EQ(f.sleep(6), std::chrono::milliseconds(1000));
  EXPECT_FALSE(Faults::parse("").any());
}

TEST(Faults, AWrongSpecificationIsNamed) {
  for (const auto& [spec, rule] :
       std::vector<std::pair<const char*, const char*>>{{"step", "PLACE:NUMBER:ACTION: step"},
                                                        {"step:1:throw,", "PLACE:NUMBER:ACTION"},
                                                        {"step:0:throw", "a number is positive"},
                                                        {"step:-1:throw", "a number is positive"},
                                                        {"step:99999999999999999999:nan", "a number is positive"},
                                                        {"step:1x:throw", "a number or *"},
                                                        {"step:1:burn", "request:N:nan"},
                                                        {"request:1:sleep:1s", "not a known fault"},
                                                        {"request:1:lost", "not a known fault"},
                                                        {"step:1:sleep", "has a duration"},
                                                        {"step:1:sleep:5", "ends in ms or s"},
                                                        {"step:1:sleep:9999s", "at most an hour"},
                                                        {"step:1:throw:now", "more than the fault needs"}}) {
    try {
      Faults::parse(spec);
      ADD_FAILURE() << spec << " was taken";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(rule), std::string::npos) << e.what();
    }
  }
}

}  // namespace
}  // namespace infernum
