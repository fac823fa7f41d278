// ServerLog: levels, equal lines, and the lines of the folders below.
#include "server/server_log.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "core/check.h"

namespace infernum::server {
namespace {

/// What `use` makes a log write.
std::vector<nlohmann::json> lines_of(const std::function<void(ServerLog&)>& use, LogLevel level = LogLevel::Info) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  {
    ServerLog log(ends[1], LogFormat::Json, level);
    use(log);
  }
  close(ends[1]);
  std::string all;
  char part[4096];
  for (ssize_t n = 0; (n = read(ends[0], part, sizeof part)) > 0;) all.append(part, static_cast<size_t>(n));
  close(ends[0]);
  std::vector<nlohmann::json> lines;
  std::istringstream text(all);
  for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST(ServerLog, TakesTheLinesOfTheFoldersBelow) {
  const auto lines = lines_of([](ServerLog&) {
    log_info("one\nline");
    log_warning("another");
  });
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["level"], "info");
  EXPECT_EQ(lines[0]["message"], "one\nline");
  EXPECT_EQ(lines[1]["level"], "warning");
}

TEST(ServerLog, LevelsChangeWhileItRuns) {
  const auto say_all = [](ServerLog& log) {
    log.request({});
    for (const LogLevel level : {LogLevel::Info, LogLevel::Warning, LogLevel::Error}) log.message(level, name_of(level));
  };
  EXPECT_EQ(lines_of(say_all).size(), 4u);
  EXPECT_EQ(lines_of(say_all, LogLevel::Warning).size(), 2u);
  EXPECT_EQ(lines_of([&](ServerLog& log) {
              log.set_level(LogLevel::Error);
              say_all(log);
              log.set_level(LogLevel::Info);
              log_info("more");
            }).size(),
            2u);
  EXPECT_EQ(parse_log_level("warning"), LogLevel::Warning);
  EXPECT_THROW(parse_log_level("loud"), Error);
}

TEST(ServerLog, EqualLinesAreCutShort) {
  const auto lines = lines_of([](ServerLog& log) {
    for (int i = 0; i < 1000; i++) log.message(LogLevel::Warning, "again");
    for (int i = 0; i < 20; i++) log.message(LogLevel::Warning, "number " + std::to_string(i));
  });
  EXPECT_EQ(lines.size(), 10u + 20u);
}

}  // namespace
}  // namespace infernum::server
