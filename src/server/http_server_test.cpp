// Requests and answers over a real loopback socket: routing, bodies, streams, pipelining, keep-alive.
#include "server/http_server.h"

#include <gtest/gtest.h>

#include <memory>

#include "server/test_server.h"

namespace infernum::server {
namespace {

using testing::Reply;
using testing::TestClient;
using testing::TestServer;

void echo(const std::shared_ptr<Exchange>& exchange) {
  HttpResponse response;
  const HttpRequest& r = exchange->request();
  response.body = r.method + " " + r.path + " ?" + r.query + " " + r.body;
  response.content_type = "text/plain";
  exchange->respond(std::move(response));
}

void stream_three(const std::shared_ptr<Exchange>& exchange) {
  exchange->begin_stream({{"x-more", "so\r\nmuch"}});
  for (const char* event : {"data: 1\n\n", "data: 2\n\n", "data: [DONE]\n\n"}) exchange->send(event);
  exchange->finish();
}

std::vector<Route> echo_routes() {
  return {{"GET", "/v1/models", Access::Key, echo, false},
          {"GET", "/v1/models/*", Access::Key, echo, false},
          {"GET", "/health", Access::Public, echo, false},
          {"POST", "/v1/echo", Access::Key, echo, true},
          {"POST", "/stream", Access::Key, stream_three, true},
          {"POST", "/api/any", Access::Key, echo, false},
          {"GET", "/health?deep=1", Access::Key, [](const auto& e) { e->respond(error_response(503, "deep")); }, false}};
}

TEST(HttpServer, FindsRoutesHoweverThePathIsWritten) {
  TestServer server(echo_routes());
  TestClient client(server.port());
  EXPECT_EQ(client.get("/v1/models").body, "GET /v1/models ? ");
  EXPECT_EQ(client.get("/models?a=b").body, "GET /v1/models ?a=b ");
  EXPECT_EQ(client.get("//v1///models/").body, "GET /v1/models ? ");
  EXPECT_EQ(client.get("/v1/models/org%2Fname").body, "GET /v1/models/org/name ? ");
  EXPECT_EQ(client.get("/models/org/name").body, "GET /v1/models/org/name ? ");
  EXPECT_EQ(client.get("/v1/health").body, "GET /health ? ");
  EXPECT_EQ(client.get("/health?deep=11&a&adeep=1").body, "GET /health ?deep=11&a&adeep=1 ");
  for (const char* deep : {"/health?deep=1", "/health?a&deep=1&b=2", "/v1/health?deep=1"}) EXPECT_EQ(client.get(deep).status, 503) << deep;
  EXPECT_EQ(client.get("http://localhost/health").body, "GET /health ? ");
  EXPECT_EQ(client.get("/v1/models/../secret").status, 400);
  EXPECT_EQ(client.get("/v1/models/%2e%2e/secret").status, 400);
  EXPECT_EQ(client.get("/v1/models/%0aX").status, 400);
  EXPECT_EQ(client.get("/v1/models/%zz").status, 400);
  const Reply missing = client.get("/v1/nothing");
  EXPECT_EQ(missing.status, 404);
  EXPECT_NE(missing.body.find(R"("type":"not_found_error","param":null,"code":"unknown_url")"), std::string::npos) << missing.body;
}

TEST(HttpServer, NamesTheMethodsOfAPath) {
  TestServer server(echo_routes());
  TestClient client(server.port());
  const Reply reply = client.get("/v1/echo");
  EXPECT_EQ(reply.status, 405);
  EXPECT_EQ(reply.header("Allow"), "POST");
  EXPECT_EQ(client.request("DELETE /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n").header("Allow"), "GET, HEAD");
  const Reply options = client.request("OPTIONS /v1/echo HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(options.header("Allow"), "POST, OPTIONS");
  const Reply head = client.request("HEAD /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n", true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("Content-Length"), "18");
  EXPECT_EQ(client.get("/health").status, 200) << "the answer to HEAD had a body";
}

TEST(HttpServer, ServesBelowAPrefix) {
  HttpOptions options;
  options.api_prefix = "/llm";
  TestServer server(echo_routes(), options);
  TestClient client(server.port());
  EXPECT_EQ(client.get("/llm/v1/models").body, "GET /v1/models ? ");
  EXPECT_EQ(client.get("/v1/models").status, 404);
  EXPECT_EQ(client.get("/llmv1/models").status, 404);
}

TEST(HttpServer, ReadsBodiesByLengthAndByChunks) {
  TestServer server(echo_routes());
  TestClient client(server.port());
  EXPECT_EQ(client.post("/v1/echo", "{}").body, "POST /v1/echo ? {}");
  EXPECT_EQ(client.post("/v1/echo", "").body, "POST /v1/echo ? ");
  const std::string head = "POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json; charset=UTF-8\r\n";
  EXPECT_EQ(client.request(head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: v\r\n\r\n").body,
            "POST /v1/echo ? abcde");
  const std::string large(3 << 20, 'x');
  EXPECT_EQ(client.post("/v1/echo", large).body.size(), large.size() + 16);
}

TEST(HttpServer, ReadsBytesOneByOne) {
  TestServer server(echo_routes());
  TestClient client(server.port());
  const std::string request =
      "POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
      "1\r\na\r\n1\r\nb\r\n0\r\n\r\n";
  for (const char c : request) ASSERT_TRUE(client.send({&c, 1}));
  EXPECT_EQ(client.read_reply().body, "POST /v1/echo ? ab");
}

TEST(HttpServer, AnswersPipelinedRequestsInOrder) {
  TestServer server(echo_routes());
  TestClient client(server.port());
  std::string many;
  for (int i = 0; i < 500; i++) many += "GET /v1/models/" + std::to_string(i) + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
  std::thread sender([&] { client.send(many); });
  for (int i = 0; i < 500; i++) ASSERT_EQ(client.read_reply().body, "GET /v1/models/" + std::to_string(i) + " ? ");
  sender.join();
}

TEST(HttpServer, PipelinedRequestsWaitForSlowAnswers) {
  std::vector<std::shared_ptr<Exchange>> held;
  TestServer server({{"GET", "/slow", Access::Public, [&](std::shared_ptr<Exchange> e) { held.push_back(std::move(e)); }, false},
                     {"GET", "/fast", Access::Public, echo, false}});
  TestClient client(server.port());
  client.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\nGET /fast HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_FALSE(client.fill(50));
  server.run([&] {
    held[0]->respond({});
    held.clear();
  });
  EXPECT_EQ(client.read_reply().body, "");
  EXPECT_EQ(client.read_reply().body, "GET /fast ? ");
}

TEST(HttpServer, StreamsEvents) {
  TestServer server(echo_routes());
  TestClient client(server.port());
  for (int i = 0; i < 3; i++) {
    const Reply reply = client.post("/stream", "{}");
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.header("Content-Type"), "text/event-stream; charset=utf-8");
    EXPECT_EQ(reply.header("Cache-Control"), "no-cache");
    EXPECT_EQ(reply.header("X-Accel-Buffering"), "no");
    EXPECT_EQ(reply.header("x-more"), "so  much") << "in one line";
    EXPECT_EQ(reply.body, "data: 1\n\ndata: 2\n\ndata: [DONE]\n\n");
  }
  TestClient old(server.port());
  const Reply reply = old.request("POST /stream HTTP/1.0\r\nContent-Type: application/json\r\n\r\n");
  EXPECT_EQ(reply.body, "data: 1\n\ndata: 2\n\ndata: [DONE]\n\n") << "HTTP/1.0 has no chunks";
}

TEST(HttpServer, CarriesRequestIdsAndItsOwnHeaders) {
  TestServer server(echo_routes());
  TestClient client(server.port());
  const Reply reply = client.get("/health", "X-Request-Id: my.id:1_2-3\r\n");
  EXPECT_EQ(reply.header("x-request-id"), "my.id:1_2-3");
  EXPECT_EQ(reply.header("openai-version"), "2020-10-01");
  EXPECT_EQ(reply.header("server"), "infernum");
  EXPECT_NE(reply.header("openai-processing-ms"), "");
  EXPECT_EQ(client.get("/health", "X-Request-Id: a b\r\n").header("x-request-id").substr(0, 4), "req_");
  EXPECT_EQ(client.get("/health", "X-Request-Id: " + std::string(129, 'a') + "\r\n").header("x-request-id").substr(0, 4), "req_");
}

TEST(HttpServer, TakesJsonOnlyWhereItAsksForIt) {
  TestServer server(echo_routes());
  TestClient client(server.port());
  EXPECT_EQ(client.post("/v1/echo", "{}", "Content-Type: text/plain\r\n").status, 415);
  EXPECT_EQ(client.post("/v1/echo", "{}", "").status, 415);
  EXPECT_EQ(client.post("/v1/echo", "{}", "Content-Type: application/json; charset=latin1\r\n").status, 415);
  EXPECT_EQ(client.post("/v1/echo", "{}", "Content-Type: APPLICATION/JSON ; charset=\"utf-8\"\r\n").status, 200);
  EXPECT_EQ(client.post("/v1/echo", "{}", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n").status, 415);
  EXPECT_EQ(client.post("/v1/echo", "{}", "Content-Type: application/json\r\nContent-Encoding: identity\r\n").status, 200);
  EXPECT_EQ(client.post("/api/any", "{}", "").status, 200);
}

TEST(HttpServer, SaysContinueOnlyToWhatItWillTake) {
  TestServer server(echo_routes());
  TestClient client(server.port());
  const std::string head = "Host: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
  EXPECT_EQ(client.request("POST /v1/echo HTTP/1.1\r\n" + head).status, 100);
  EXPECT_EQ(client.request("{}").body, "POST /v1/echo ? {}");
  EXPECT_EQ(client.request("POST /nothing HTTP/1.1\r\n" + head).status, 404);
  EXPECT_TRUE(client.closes_within(3000)) << "the body may or may not follow";
}

TEST(HttpServer, AnswersForHandlersThatDoNot) {
  TestServer server({{"GET", "/drop", Access::Public, [](const std::shared_ptr<Exchange>&) {}, false},
                     {"GET", "/throw", Access::Public, [](const std::shared_ptr<Exchange>&) { throw std::runtime_error("secret"); }, false},
                     {"GET", "/cut", Access::Public,
                      [](const std::shared_ptr<Exchange>& e) {
                        e->begin_stream();
                        e->send("data: 1\n\n");
                      },
                      false}});
  TestClient client(server.port());
  EXPECT_EQ(client.get("/drop").status, 500);
  const Reply thrown = client.get("/throw");
  EXPECT_EQ(thrown.status, 500);
  EXPECT_EQ(thrown.body.find("secret"), std::string::npos);
  client.send("GET /cut HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string all = client.read_all();
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(all.find("0\r\n\r\n"), std::string::npos) << "a stream that was dropped must not look complete";
}

TEST(HttpServer, KeepsConnectionsAsTheClientWishes) {
  TestServer server(echo_routes());
  TestClient client(server.port());
  EXPECT_EQ(client.get("/health", "Connection: close\r\n").header("Connection"), "close");
  EXPECT_TRUE(client.closes_within(3000));
  TestClient old(server.port());
  EXPECT_EQ(old.request("GET /health HTTP/1.0\r\n\r\n").status, 200);
  EXPECT_TRUE(old.closes_within(3000));
  TestClient old_alive(server.port());
  EXPECT_EQ(old_alive.request("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").header("Connection"), "keep-alive");
  EXPECT_EQ(old_alive.request("GET /health HTTP/1.0\r\n\r\n").status, 200);
}

}  // namespace
}  // namespace infernum::server
