#include "core/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/check.h"

namespace infernum {
namespace {

std::string write_file(const std::string& name, const std::string& content) {
  const std::string path = testing::TempDir() + "infernum_mapped_" + std::to_string(::getpid()) + name;
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(MappedFile, ShowsTheBytesAndSurvivesDroppedPages) {
  std::string content(20000, 'x');
  content[0] = 'a', content[19999] = 'z';
  const std::string path = write_file("bytes", content);
  const MappedFile file(path);
  std::filesystem::remove(path);  // the open descriptor keeps the data
  ASSERT_EQ(file.size(), 20000);
  file.advise(file.bytes(), PageAdvice::WillNeed);
  file.advise(file.bytes().subspan(1, 19000), PageAdvice::DontNeed);
  file.advise(file.bytes(), PageAdvice::DontNeed);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()), content);
  const std::vector<std::byte> elsewhere(10);
  EXPECT_THAT(error_of([&] { file.advise(elsewhere, PageAdvice::DontNeed); }), testing::HasSubstr("outside the mapped file"));
}

TEST(MappedFile, EmptyFileHasNoBytes) {
  const std::string path = write_file("empty", "");
  const MappedFile file(path);
  EXPECT_TRUE(file.bytes().empty());
  file.advise(file.bytes(), PageAdvice::WillNeed);
  file.check_unchanged();
  std::filesystem::remove(path);
}

TEST(MappedFile, ErrorsNameTheFile) {
  EXPECT_THAT(error_of([] { MappedFile("/nowhere/model.gguf"); }),
              testing::AllOf(testing::HasSubstr("cannot open file: /nowhere/model.gguf"), testing::HasSubstr("No such file")));
  EXPECT_THAT(error_of([] { MappedFile("/tmp"); }), testing::HasSubstr("not a regular file: /tmp"));
}

TEST(MappedFile, NoticesAChangedFile) {
  const std::string path = write_file("changed", "0123456789");
  const MappedFile file(path);
  file.check_unchanged();
  std::filesystem::resize_file(path, 4);
  EXPECT_THAT(error_of([&] { file.check_unchanged(); }),
              testing::AllOf(testing::HasSubstr("changed size"), testing::HasSubstr(path), testing::HasSubstr("10 -> 4")));
  std::filesystem::resize_file(path, 10);
  std::filesystem::last_write_time(path, std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_THAT(error_of([&] { file.check_unchanged(); }), testing::HasSubstr("was written to"));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace infernum
