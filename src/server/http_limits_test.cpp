// What an HTTP request must not get away with: every limit at its border, and requests that could be read in two ways.
#include <gtest/gtest.h>

#include <map>

#include "server/http_server.h"
#include "server/test_server.h"

namespace infernum::server {
namespace {

using testing::echo_routes;
using testing::Reply;
using testing::TestClient;
using testing::TestServer;

HttpOptions small() {
  HttpOptions options;
  options.limits.header_bytes = 1000;
  options.limits.fields = 10;
  options.limits.url_bytes = 200;
  options.limits.body_bytes = 1000;
  return options;
}

/// A GET whose header has so many bytes in all.
std::string get_of_size(size_t bytes) {
  const std::string start = "GET / HTTP/1.1\r\nHost: localhost\r\nPad: ";
  return start + std::string(bytes - start.size() - 4, 'x') + "\r\n\r\n";
}

TEST(HttpLimits, HeaderAtItsBorder) {
  TestServer server(echo_routes(), small());
  EXPECT_EQ(TestClient(server.port()).request(get_of_size(1000)).status, 200);
  EXPECT_EQ(TestClient(server.port()).request(get_of_size(1001)).status, 431);
  for (const size_t size : {size_t{1000}, size_t{1001}}) {
    TestClient slow(server.port());  // the same in pieces, which a parser could count one by one
    const std::string request = get_of_size(size);
    for (size_t i = 0; i < request.size(); i += 50) {
      slow.send(std::string_view(request).substr(i, 50));
      if (i % 200 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(slow.read_reply().status, size == 1000 ? 200 : 431);
  }
}

TEST(HttpLimits, EndlessHeaderIsCutOff) {
  TestServer server(echo_routes());
  TestClient client(server.port());
  client.send("GET / HTTP/1.1\r\n");
  size_t sent = 0;
  while (sent < (10u << 20) && client.send("Field: value of a field that is short\r\n")) sent += 39;
  EXPECT_EQ(client.read_reply().status, 431);
  EXPECT_EQ(server.stats().requests, 1u);
}

TEST(HttpLimits, FieldsAtTheirBorder) {
  TestServer server(echo_routes(), small());
  const auto with = [&](int fields) {
    std::string request = "GET / HTTP/1.1\r\nHost: localhost\r\n";
    for (int i = 1; i < fields; i++) request += "A: b\r\n";
    return TestClient(server.port()).request(request + "\r\n").status;
  };
  EXPECT_EQ(with(10), 200);
  EXPECT_EQ(with(11), 431);
}

TEST(HttpLimits, UrlAtItsBorder) {
  TestServer server(echo_routes(), small());
  const auto with = [&](size_t bytes) {
    return TestClient(server.port()).request("GET /?" + std::string(bytes - 2, 'q') + " HTTP/1.1\r\nHost: localhost\r\n\r\n").status;
  };
  EXPECT_EQ(with(200), 200);
  EXPECT_EQ(with(201), 414);
  EXPECT_EQ(with(5000), 414);
}

TEST(HttpLimits, BodyAtItsBorder) {
  TestServer server(echo_routes(), small());
  const auto by_length = [&](size_t bytes) { return TestClient(server.port()).post("/echo", std::string(bytes, 'b')).status; };
  const auto by_chunks = [&](size_t bytes) {
    std::string request = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (size_t i = 0; i < bytes; i++) request += "1\r\nb\r\n";
    return TestClient(server.port()).request(request + "0\r\n\r\n").status;
  };
  EXPECT_EQ(by_length(1000), 200);
  EXPECT_EQ(by_length(1001), 413);
  EXPECT_EQ(by_length(5000000), 413) << "the client must be able to read this before the connection closes";
  EXPECT_EQ(by_chunks(1000), 200);
  EXPECT_EQ(by_chunks(1001), 413);
}

TEST(HttpLimits, OneByteChunksCostLittle) {
  TestServer server(echo_routes());
  TestClient client(server.port());
  const auto start = std::chrono::steady_clock::now();
  std::string request = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 500000; i++) request += "1\r\nb\r\n";
  EXPECT_EQ(client.request(request + "0\r\n\r\n").body.size(), 500004u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
}

TEST(HttpLimits, RequestsOfTwoReadingsAreRefused) {
  TestServer server(echo_routes());
  const std::map<std::string, int> table = {
      {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400},
      {"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 400},
      {"Content-Length: 3\r\nContent-Length: 4\r\n", 400},
      {"Content-Length: 3\r\nContent-Length: 3\r\n", 400},
      {"Content-Length: 3, 3\r\n", 400},
      {"Content-Length: +3\r\n", 400},
      {"Content-Length: -1\r\n", 400},
      {"Content-Length: 0x3\r\n", 400},
      {"Content-Length: 99999999999999999999\r\n", 400},
      {"Content-Length: 18446744073709551615\r\n", 413},
      {"Content-Length : 3\r\n", 400},
      {"Content-Length:\r\n", 400},
      {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400},
      {"Transfer-Encoding: chunked, chunked\r\n", 501},
      {"Transfer-Encoding: gzip, chunked\r\n", 501},
      {"Transfer-Encoding: identity\r\n", 501},
      {"Transfer-Encoding: \x0b"
       "chunked\r\n",
       400},
      {"Transfer_Encoding: chunked\r\nHost: localhost\r\n", 400},
      {"Host: other\r\n", 400},
      {"Bad Field: x\r\n", 400},
      {": x\r\n", 400},
      {"Bad\n: x\r\n", 400},
      {std::string("Nul: a\0b\r\n", 10), 400},
  };
  for (const auto& [fields, status] : table) {
    TestClient client(server.port());
    const Reply reply = client.request("POST /echo HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n3\r\nabc\r\n0\r\n\r\n");
    EXPECT_EQ(reply.status, status) << fields;
    EXPECT_TRUE(client.closes_within(3000)) << "what follows could be read as another request: " << fields;
  }
  const std::string chunked = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string body : {"3\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "-3\r\nabc\r\n0\r\n\r\n", "0x3\r\nabc\r\n0\r\n\r\n",
                                 "g\r\n", "ffffffffffffffffff\r\n", " 3\r\nabc\r\n0\r\n\r\n"})
    EXPECT_EQ(TestClient(server.port()).request(chunked + body).status, 400) << body;
  for (const std::string line : {"GET / HTTP/1.1\r\nHost: localhost\n\n\r\n\r\n", "GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                                 "GET /\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\r\n\r\n"})
    EXPECT_EQ(TestClient(server.port()).request(line).status, 400) << line;
  EXPECT_EQ(TestClient(server.port()).request("GET / HTTP/2.0\r\nHost: localhost\r\n\r\n").status, 505);
  EXPECT_EQ(TestClient(server.port()).request("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").status, 505);
}

TEST(HttpLimits, LongChunkHeadersAndTrailersEnd) {
  TestServer server(echo_routes());
  const std::string head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(TestClient(server.port()).request(head + "1;" + std::string(300000, 'e') + "\r\n").status, 400);
  EXPECT_EQ(TestClient(server.port()).request(head + "0\r\nT: " + std::string(300000, 't') + "\r\n\r\n").status, 400);
}

TEST(HttpLimits, TrailersAreNoHeaders) {
  TestServer server({{"POST", "/auth", Access::Public,
                      [](const std::shared_ptr<Exchange>& e) {
                        HttpResponse r;
                        r.body = e->request().header("authorization");
                        e->respond(std::move(r));
                      },
                      false}});
  const Reply reply = TestClient(server.port())
                          .request(
                              "POST /auth HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: "
                              "Bearer x\r\n\r\n");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "");
}

}  // namespace
}  // namespace infernum::server
