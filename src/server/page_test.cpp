#include "server/page.h"

#include <gtest/gtest.h>

#include "server/test_server.h"
#include "server/web_files.h"

namespace infernum::server {
namespace {

using testing::Reply;
using testing::TestClient;
using testing::TestServer;

TEST(Page, ComesWithAPolicyAndIsAskedForAgain) {
  TestServer server(page_routes());
  TestClient client(server.port());
  const Reply page = client.get("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.body, web_files().front().bytes);
  EXPECT_EQ(page.header("content-type").substr(0, 9), "text/html");
  EXPECT_EQ(page.header("content-security-policy"), content_security_policy);
  EXPECT_EQ(page.header("cache-control"), "no-cache");
  const Reply again = client.get("/", "If-None-Match: \"other\", " + page.header("etag") + "\r\n");
  EXPECT_EQ(again.status, 304);
  EXPECT_EQ(again.body, "");
}

TEST(Page, EveryFileIsServedPlainAndCompressed) {
  TestServer server(page_routes());
  TestClient client(server.port());
  for (const WebFile& file : web_files()) {
    EXPECT_EQ(client.get(std::string(file.path), "Accept-Encoding: br, gzip;q=0\r\n").body, file.bytes) << file.path;
    const Reply compressed = client.get(std::string(file.path), "Accept-Encoding: br, gzip;q=0.5\r\n");
    EXPECT_EQ(compressed.body, file.gzip.empty() ? file.bytes : file.gzip) << file.path;
    EXPECT_EQ(compressed.header("content-encoding"), file.gzip.empty() ? "" : "gzip") << file.path;
  }
  EXPECT_EQ(client.get("/assets/other.js").status, 404);
}

}  // namespace
}  // namespace infernum::server
