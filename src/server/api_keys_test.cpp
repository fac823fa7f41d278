#include "server/api_keys.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "core/check.h"
#include "server/gatekeeping.h"
#include "server/test_server.h"

namespace infernum::server {
namespace {

using testing::Reply;
using testing::TestClient;
using testing::TestServer;

class KeyFile {
 public:
  explicit KeyFile(const std::string& text) : path_(::testing::TempDir() + "keys_" + std::to_string(getpid())) { write(text); }
  ~KeyFile() { std::remove(path_.c_str()); }
  void write(const std::string& text) const {
    std::ofstream(path_ + ".new") << text;
    std::rename((path_ + ".new").c_str(), path_.c_str());
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

HttpRequest with_key(const std::string& key, const std::string& header = "authorization") {
  HttpRequest request;
  request.method = "POST";
  if (!key.empty()) request.headers.emplace_back(header, header == "authorization" ? "Bearer " + key : key);
  return request;
}

int status(ApiKeys& keys, const std::string& key, Access access = Access::Key) {
  HttpRequest request = with_key(key);
  const auto answer = keys.identify(request, access);
  return answer ? answer->status : 200;
}

TEST(ApiKeys, EveryRouteAsksForWhatItsClassSays) {
  const auto answer = [](const std::shared_ptr<Exchange>& e) { e->respond({}); };
  const std::vector<Route> table = {{"GET", "/health", Access::Public, answer, false},
                                    {"GET", "/v1/models", Access::Key, answer, false},
                                    {"POST", "/v1/completions", Access::Key, answer, true},
                                    {"POST", "/admin/drain", Access::Admin, answer, false}};
  ApiKeyOptions options;
  options.keys = {"good"};
  options.admin_keys = {"boss"};
  TestServer server(table, {}, std::make_shared<ApiKeys>(options));
  struct Caller {
    std::string key;
    int with_key, with_admin;
  };
  for (const Caller& caller : {Caller{"", 401, 401}, Caller{"wrong", 401, 401}, Caller{"good", 200, 403}, Caller{"boss", 200, 200}})
    for (const Route& route : table)
      for (const std::string& spelling : {std::string(route.path), "/" + std::string(route.path) + "/"}) {
        TestClient client(server.port());
        const std::string request = std::string(route.method) + " " + spelling + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n" +
                                    "Content-Type: application/json\r\n" +
                                    (caller.key.empty() ? "" : "Authorization: Bearer " + caller.key + "\r\n") + "\r\n";
        const Reply reply = client.request(request);
        const int expected = route.access == Access::Public ? 200 : route.access == Access::Key ? caller.with_key : caller.with_admin;
        EXPECT_EQ(reply.status, expected) << route.path << " with " << caller.key;
        EXPECT_EQ(reply.header("WWW-Authenticate"), expected == 401 ? "Bearer" : "");
      }
  TestClient client(server.port());
  EXPECT_EQ(client.get("/v1/unknown").status, 401) << "what is not in the table is not open";
  EXPECT_EQ(client.get("/v1/unknown", "Authorization: Bearer good\r\n").status, 404);
  EXPECT_EQ(client.request("OPTIONS /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 204);
}

TEST(ApiKeys, ReadsEveryHeaderThatClientsUse) {
  ApiKeyOptions options;
  options.keys = {"sk-a=="};
  ApiKeys keys(options);
  for (const char* header : {"authorization", "x-api-key", "api-key"}) {
    HttpRequest request = with_key("sk-a==", header);
    EXPECT_FALSE(keys.identify(request, Access::Key)) << header;
    EXPECT_EQ(request.key.size(), 8u) << "a prefix of the hash, never the key";
  }
  HttpRequest basic;
  basic.headers.emplace_back("authorization", "Basic sk-a==");
  EXPECT_TRUE(keys.identify(basic, Access::Key));
}

TEST(ApiKeys, WithoutKeysOnlyAdminRoutesAreClosed) {
  ApiKeys keys({});
  EXPECT_FALSE(keys.protects());
  EXPECT_EQ(status(keys, ""), 200);
  EXPECT_EQ(status(keys, "anything"), 200);
  EXPECT_EQ(status(keys, "", Access::Admin), 401);
}

TEST(ApiKeys, FilesHaveNamesHashesAndLimits) {
  const KeyFile file(
      "# comment\n\nplain\nalice=sk-1   # hers\nsha256:2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90\n"
      "bob=sk-2== requests_per_minute=2 concurrent=1\nroot=top admin\r\n");
  ApiKeyOptions options;
  options.file = file.path();
  ApiKeys keys(options);
  EXPECT_EQ(keys.size(), 5u);
  for (const char* key : {"plain", "sk-1", "alice" /* by its hash */, "sk-2=="}) EXPECT_EQ(status(keys, key), 200) << key;
  EXPECT_EQ(status(keys, "bob"), 401) << "a name is not a key";
  EXPECT_EQ(status(keys, "top", Access::Admin), 200);
  HttpRequest request = with_key("sk-1");
  keys.identify(request, Access::Key);
  EXPECT_EQ(request.key, "alice");
}

TEST(ApiKeys, ABadFileChangesNothing) {
  const KeyFile file("one\n");
  ApiKeyOptions options;
  options.file = file.path();
  ApiKeys keys(options);
  EXPECT_FALSE(keys.reload_if_changed());
  for (const char* bad : {"two what=1\n", "sha256:abc\n", "two requests_per_minute=-1\n", "two requests_per_minute=x\n"}) {
    file.write(bad);
    try {
      keys.reload_if_changed();
      ADD_FAILURE() << bad;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(file.path()), std::string::npos) << e.what();
    }
    EXPECT_EQ(status(keys, "one"), 200);
    EXPECT_EQ(status(keys, "two"), 401);
    EXPECT_FALSE(keys.reload_if_changed()) << "it is complained about once";
  }
  file.write("two longer\n# \n");
  EXPECT_THROW(keys.read(options), Error);
  file.write("two\n");
  EXPECT_TRUE(keys.reload_if_changed());
  EXPECT_EQ(status(keys, "one"), 401);
  EXPECT_EQ(status(keys, "two"), 200);
  file.write("");
  keys.take(keys.read(options));
  EXPECT_EQ(status(keys, ""), 401) << "an empty file lets nobody in";
}

TEST(ApiKeys, RatesAreKeptPerKey) {
  const KeyFile file("a requests_per_minute=2\nb concurrent=1\nc tokens_per_minute=100\n");
  ApiKeyOptions options;
  options.file = file.path();
  ApiKeys keys(options);
  EXPECT_FALSE(keys.admit(with_key("a")).refusal);
  EXPECT_FALSE(keys.admit(with_key("a")).refusal);
  const auto refused = keys.admit(with_key("a"));
  ASSERT_TRUE(refused.refusal);
  EXPECT_EQ(refused.refusal->status, 429);
  EXPECT_EQ(refused.refusal->headers[0].first, "Retry-After");
  EXPECT_EQ(refused.refusal->headers[0].second, "30");
  keys.take(keys.read(options));
  EXPECT_TRUE(keys.admit(with_key("a")).refusal) << "a reload is no way to get more";
  {
    const auto first = keys.admit(with_key("b"));
    EXPECT_FALSE(first.refusal);
    EXPECT_TRUE(keys.admit(with_key("b")).refusal);
  }
  EXPECT_FALSE(keys.admit(with_key("b")).refusal);
  {
    const auto first = keys.admit(with_key("c"));
    first.grant->charge(150);
    EXPECT_EQ(first.headers[1], (std::pair<std::string, std::string>("x-ratelimit-remaining-tokens", "100")));
  }
  const auto broke = keys.admit(with_key("c"));
  ASSERT_TRUE(broke.refusal);
  EXPECT_EQ(broke.refusal->headers[0].second, "31");
}

TEST(ApiKeys, TokensAreChargedByTheNotesOfTheAnswer) {
  ApiKeyOptions options;
  options.limits.tokens_per_minute = 10;
  TestServer server({{"POST", "/x", Access::Key,
                      [](const std::shared_ptr<Exchange>& e) {
                        e->note("prompt_tokens", "8");
                        e->note("completion_tokens", "4");
                        e->respond({});
                      },
                      false}},
                    {}, std::make_shared<ApiKeys>(options));
  TestClient client(server.port());
  const Reply first = client.post("/x", "");
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.header("x-ratelimit-limit-tokens"), "10");
  const Reply second = client.post("/x", "");
  EXPECT_EQ(second.status, 429);
  EXPECT_NE(second.header("Retry-After"), "");
  EXPECT_NE(second.body.find("\"code\":\"rate_limit_exceeded\""), std::string::npos);
}

TEST(Gatekeeping, LoopbackServersAnswerToLocalNamesOnly) {
  for (const char* host : {"localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.1.2.3", "[::1]:8000", "[::1]", "a.localhost"})
    EXPECT_TRUE(host_is_local(host, {})) << host;
  for (const char* host :
       {"evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "", "[::2]", "evil:80:localhost"})
    EXPECT_FALSE(host_is_local(host, {})) << host;
  EXPECT_TRUE(host_is_local("Proxy.Example:80", {"proxy.example"}));
  TestServer server({{"GET", "/health", Access::Public, [](const std::shared_ptr<Exchange>& e) { e->respond({}); }, false}});
  EXPECT_EQ(TestClient(server.port()).request("GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n").status, 403);
}

TEST(Gatekeeping, OnlyListedOriginsMayReadAnswers) {
  HttpOptions options;
  options.cors_origins = {"https://app.example"};
  const auto answer = [](const std::shared_ptr<Exchange>& e) { e->respond({}); };
  TestServer server({{"POST", "/v1/x", Access::Key, answer, false}}, options), closed({{"POST", "/v1/x", Access::Key, answer, false}});
  const auto preflight = [](TestServer& s, const std::string& origin) {
    return TestClient(s.port()).request("OPTIONS /v1/x HTTP/1.1\r\nHost: localhost\r\nOrigin: " + origin +
                                        "\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n\r\n");
  };
  const Reply good = preflight(server, "https://app.example");
  EXPECT_EQ(good.status, 204);
  EXPECT_EQ(good.header("Access-Control-Allow-Origin"), "https://app.example");
  EXPECT_EQ(good.header("Access-Control-Allow-Headers"), "content-type");
  EXPECT_EQ(good.header("Access-Control-Allow-Credentials"), "");
  for (const char* origin : {"https://app.example.evil", "https://app.exampl", "null", "http://app.example"}) {
    EXPECT_EQ(preflight(server, origin).status, 403) << origin;
    EXPECT_EQ(preflight(closed, origin).status, 403) << origin;
  }
  EXPECT_EQ(TestClient(server.port()).post("/v1/x", "", "Origin: https://app.example\r\n").header("Access-Control-Allow-Origin"),
            "https://app.example");
  EXPECT_EQ(TestClient(server.port()).post("/v1/x", "", "Origin: https://other.example\r\n").header("Access-Control-Allow-Origin"), "");
}

}  // namespace
}  // namespace infernum::server
