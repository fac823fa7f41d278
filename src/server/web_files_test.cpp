// The embedded page, or the one that stands for it: what its list promises to the server that sends it.
#include "server/web_files.h"

#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <string>

namespace infernum {
namespace {

TEST(WebFiles, PageIsFirst) {
  ASSERT_FALSE(web_files().empty());
  const WebFile& page = web_files().front();
  EXPECT_EQ(page.path, "/");
  EXPECT_EQ(page.content_type, "text/html; charset=utf-8");
  EXPECT_FALSE(page.immutable) << "the page names the files of one build";
  EXPECT_NE(page.bytes.find("<title>Infernum</title>"), std::string_view::npos);
}

TEST(WebFiles, EntriesAreWellFormed) {
  const std::regex etag("W/\"[-0-9a-z]+\"");
  std::set<std::string_view> paths;
  for (const WebFile& file : web_files()) {
    SCOPED_TRACE(file.path);
    EXPECT_TRUE(paths.insert(file.path).second);
    EXPECT_TRUE(file.path == "/" || file.path.starts_with("/assets/"));
    EXPECT_EQ(file.immutable, file.path != "/");
    EXPECT_FALSE(file.bytes.empty());
    EXPECT_FALSE(file.content_type.empty());
    EXPECT_TRUE(std::regex_match(std::string(file.etag), etag)) << file.etag;
    if (file.gzip.empty()) continue;
    EXPECT_LT(file.gzip.size(), file.bytes.size());
    EXPECT_TRUE(file.gzip.starts_with("\x1f\x8b\x08"));
    // A gzip member ends with the length of what it holds, little-endian.
    uint32_t length = 0;
    for (size_t i = 0; i < 4; ++i)
      length |= static_cast<uint32_t>(static_cast<unsigned char>(file.gzip[file.gzip.size() - 4 + i])) << (8 * i);
    EXPECT_EQ(length, file.bytes.size());
  }
}

TEST(WebFiles, PageKeepsItsPolicy) {
  const std::string page(web_files().front().bytes);
  EXPECT_FALSE(std::regex_search(page, std::regex("<script(?![^>]* src=)|<style|\\s(style|on[a-z]+)="))) << "inline code or styles";
  EXPECT_FALSE(std::regex_search(page, std::regex("(src|href)=\"([a-z]+:|//)"))) << "an address of another origin";
  // What the page loads is in the list, at an address that also holds below a proxy's path.
  const std::regex loaded("<(?:script|link)[^>]* (?:src|href)=\"([^\"]*)\"");
  for (std::sregex_iterator it(page.begin(), page.end(), loaded), end; it != end; ++it) {
    const std::string address = (*it)[1];
    ASSERT_TRUE(address.starts_with("./")) << address;
    bool found = false;
    for (const WebFile& file : web_files()) found |= file.path == address.substr(1);
    EXPECT_TRUE(found) << address;
  }
}

TEST(WebFiles, PolicyAllowsNothingInline) {
  EXPECT_EQ(content_security_policy.find("unsafe"), std::string_view::npos);
  EXPECT_TRUE(content_security_policy.starts_with("default-src 'none';"));
}

}  // namespace
}  // namespace infernum
