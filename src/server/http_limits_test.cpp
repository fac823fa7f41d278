// What an HTTP client must not get away with: every limit at its border, requests that could be read in two ways, clients that dawdle,
// vanish or never read.
#include <gtest/gtest.h>

#include <dirent.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <random>

#include "server/http_server.h"
#include "server/test_server.h"

namespace infernum::server {
namespace {

using testing::Reply;
using testing::TestClient;
using testing::TestServer;

void echo(const std::shared_ptr<Exchange>& exchange) {
  HttpResponse response;
  response.body = exchange->request().method + exchange->request().body;
  exchange->respond(std::move(response));
}

std::vector<Route> routes() { return {{"GET", "/", Access::Public, echo, false}, {"POST", "/echo", Access::Public, echo, false}}; }

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
  TestServer server(routes(), small());
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
  TestServer server(routes());
  TestClient client(server.port());
  client.send("GET / HTTP/1.1\r\n");
  size_t sent = 0;
  while (sent < (10u << 20) && client.send("Field: value of a field that is short\r\n")) sent += 39;
  EXPECT_EQ(client.read_reply().status, 431);
  EXPECT_EQ(server.stats().requests, 1u);
}

TEST(HttpLimits, FieldsAtTheirBorder) {
  TestServer server(routes(), small());
  const auto with = [&](int fields) {
    std::string request = "GET / HTTP/1.1\r\nHost: localhost\r\n";
    for (int i = 1; i < fields; i++) request += "A: b\r\n";
    return TestClient(server.port()).request(request + "\r\n").status;
  };
  EXPECT_EQ(with(10), 200);
  EXPECT_EQ(with(11), 431);
}

TEST(HttpLimits, UrlAtItsBorder) {
  TestServer server(routes(), small());
  const auto with = [&](size_t bytes) {
    return TestClient(server.port()).request("GET /?" + std::string(bytes - 2, 'q') + " HTTP/1.1\r\nHost: localhost\r\n\r\n").status;
  };
  EXPECT_EQ(with(200), 200);
  EXPECT_EQ(with(201), 414);
  EXPECT_EQ(with(5000), 414);
}

TEST(HttpLimits, BodyAtItsBorder) {
  TestServer server(routes(), small());
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
  TestServer server(routes());
  TestClient client(server.port());
  const auto start = std::chrono::steady_clock::now();
  std::string request = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 500000; i++) request += "1\r\nb\r\n";
  EXPECT_EQ(client.request(request + "0\r\n\r\n").body.size(), 500004u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
}

TEST(HttpLimits, RequestsOfTwoReadingsAreRefused) {
  TestServer server(routes());
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
  TestServer server(routes());
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

HttpOptions impatient() {
  HttpOptions options;
  options.limits.header_seconds = 0.1;
  options.limits.body_seconds = 0.1;
  options.limits.idle_seconds = 0.3;
  options.limits.write_stall_seconds = 0.2;
  options.limits.linger_seconds = 0.1;
  return options;
}

TEST(HttpLimits, DawdlersAreCutOff) {
  TestServer server(routes(), impatient());
  TestClient silent(server.port()), slow(server.port()), half(server.port()), idle(server.port());
  slow.send("GET / HT");
  half.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc");
  EXPECT_EQ(idle.get("/").status, 200);
  EXPECT_TRUE(silent.closes_within(1000));
  EXPECT_EQ(slow.read_reply().status, 408);
  EXPECT_TRUE(slow.closes_within(1000));
  EXPECT_EQ(half.read_reply().status, 408);
  EXPECT_TRUE(half.closes_within(1000));
  EXPECT_TRUE(idle.closes_within(1000)) << "keep-alive without requests ends";
  EXPECT_TRUE(server.wait_for([](const HttpStats& s) { return s.connections == 0; }));
  EXPECT_EQ(server.stats().timeouts, 2u);
}

TEST(HttpLimits, SlowlorisGetsNoMoreTimePerByte) {
  TestServer server(routes(), impatient());
  TestClient client(server.port());
  const auto start = std::chrono::steady_clock::now();
  client.send("GET / HTTP/1.1\r\n");
  while (client.send("A: b\r\n") && std::chrono::steady_clock::now() - start < std::chrono::seconds(2)) {
    if (client.fill(20)) break;
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

TEST(HttpLimits, BodiesMayTakeLongIfTheyFlow) {
  HttpOptions options = impatient();
  options.limits.body_bytes_per_second = 10000;
  TestServer server(routes(), options);
  TestClient client(server.port());
  client.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000\r\n\r\n");
  for (int i = 0; i < 8; i++) {
    client.send(std::string(500, 'x'));
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  }
  EXPECT_EQ(client.read_reply().body.size(), 4004u);
}

TEST(HttpLimits, ReadersOfStreamsThatDoNotReadAreCutOff) {
  HttpOptions options = impatient();
  options.limits.output_bytes = 100000;
  std::shared_ptr<Exchange> held;
  bool gone = false;
  TestServer server({{"GET", "/stream", Access::Public,
                      [&](std::shared_ptr<Exchange> e) {
                        e->begin_stream();
                        e->on_gone([&gone] { gone = true; });
                        held = std::move(e);
                      },
                      false}},
                    options);
  TestClient client(server.port());
  client.send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ASSERT_TRUE(client.wait_for("\r\n\r\n"));
  const std::string event = "data: " + std::string(60000, 'x') + "\n\n";
  server.run([&] {
    for (int i = 0; i < 1000; i++) held->send(event);
    EXPECT_FALSE(gone) << "never from within a call";
  });
  server.run([] {});
  server.run([&] {
    EXPECT_TRUE(gone);
    held.reset();
  });
  EXPECT_EQ(server.stats().slow_readers, 1u);
}

TEST(HttpLimits, StalledAnswersEnd) {
  HttpOptions options = impatient();
  TestServer server({{"GET", "/large", Access::Public,
                      [](const std::shared_ptr<Exchange>& e) {
                        HttpResponse r;
                        r.body.assign(30 << 20, 'x');
                        e->respond(std::move(r));
                      },
                      false}},
                    options);
  TestClient client(server.port());
  client.send("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(server.wait_for([](const HttpStats& s) { return s.requests == 1 && s.connections == 0; }));
  TestClient reader(server.port());
  EXPECT_EQ(reader.get("/large").body.size(), 30u << 20);
}

TEST(HttpLimits, SilentStreamsCarryComments) {
  HttpOptions options;
  options.limits.ping_seconds = 0.05;
  std::shared_ptr<Exchange> held;
  TestServer server({{"GET", "/stream", Access::Public,
                      [&](std::shared_ptr<Exchange> e) {
                        e->begin_stream();
                        held = std::move(e);
                      },
                      false}},
                    options);
  TestClient client(server.port());
  client.send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(client.wait_for("8\r\n: ping\n\n\r\n8\r\n: ping\n\n\r\n"));
  server.run([&] { held.reset(); });
}

TEST(HttpLimits, ConnectionsAreCounted) {
  HttpOptions options;
  options.limits.connections_per_address = 3;
  TestServer server(routes(), options);
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 3; i++) {
    clients.push_back(std::make_unique<TestClient>(server.port()));
    EXPECT_EQ(clients.back()->get("/").status, 200);
  }
  EXPECT_TRUE(TestClient(server.port()).closes_within(1000));
  clients.pop_back();
  EXPECT_TRUE(server.wait_for([](const HttpStats& s) { return s.connections == 2; }));
  EXPECT_EQ(TestClient(server.port()).get("/").status, 200);
}

TEST(HttpLimits, BodiesOfAllTogetherAreBounded) {
  HttpOptions options;
  options.limits.buffered_bytes = 100000;
  TestServer server(routes(), options);
  TestClient first(server.port()), second(server.port());
  const std::string head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n";
  first.send(head + std::string(80000, 'x'));
  EXPECT_TRUE(server.wait_for([](const HttpStats& s) { return s.bytes_in > 80000; }));
  const Reply busy = second.request(head + std::string(80000, 'x'));
  EXPECT_EQ(busy.status, 503);
  EXPECT_EQ(busy.header("Retry-After"), "1");
  first.send(std::string(10000, 'x'));
  EXPECT_EQ(first.read_reply().body.size(), 90004u);
  EXPECT_EQ(TestClient(server.port()).post("/echo", std::string(90000, 'x')).status, 200) << "the bytes are given back";
}

TEST(HttpLimits, PipelinersWhoDoNotReadAreNotReadFromEither) {
  TestServer server({{"GET", "/", Access::Public,
                      [](const std::shared_ptr<Exchange>& e) {
                        HttpResponse r;
                        r.body.assign(100000, 'x');
                        e->respond(std::move(r));
                      },
                      false}});
  TestClient client(server.port());
  std::string many;
  for (int i = 0; i < 1500; i++) many += "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
  std::thread sender([&] { client.send(many); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_LT(server.stats().requests, 200u) << "answers that nobody reads pile up";
  for (int i = 0; i < 1500; i++) ASSERT_EQ(client.read_reply().body.size(), 100000u) << i;
  sender.join();
}

int open_descriptors() {
  int count = 0;
  if (DIR* folder = opendir("/proc/self/fd")) {
    while (readdir(folder)) count++;
    closedir(folder);
  }
  return count;
}

TEST(HttpLimits, ClientsThatVanishLeaveNothingBehind) {
  std::map<Exchange*, std::shared_ptr<Exchange>> held;
  std::atomic<int> gone = 0;
  const auto hold = [&](bool stream) {
    return [&, stream](const std::shared_ptr<Exchange>& e) {
      if (stream) e->begin_stream();
      held[e.get()] = e;
      e->on_gone([&, raw = e.get()] {
        gone++;
        held.erase(raw);
      });
    };
  };
  TestServer server({{"POST", "/wait", Access::Public, hold(false), false}, {"POST", "/stream", Access::Public, hold(true), false}});
  const int before = open_descriptors();
  std::mt19937 random(7);
  const std::string stream = "POST /stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nabcde";
  const std::string wait = "POST /wait HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nabcde";
  for (int i = 0; i < 400; i++) {
    TestClient client(server.port());
    const std::string& request = i % 2 ? stream : wait;
    client.send(request.substr(0, random() % 3 ? request.size() : random() % request.size()));
    if (random() % 2) {
      const linger reset{1, 0};
      setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    if (i % 5 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(server.wait_for([](const HttpStats& s) { return s.connections == 0 && s.in_flight == 0; }));
  server.run([&] { EXPECT_TRUE(held.empty()); });
  EXPECT_GT(gone, 50);
  EXPECT_EQ(open_descriptors(), before);
}

TEST(HttpLimits, HalfClosedClientsAreGoneUnlessAllowed) {
  for (const bool aborts : {true, false}) {
    HttpOptions options;
    options.half_close_aborts = aborts;
    std::shared_ptr<Exchange> held;
    std::atomic<bool> gone = false;
    TestServer server({{"GET", "/", Access::Public,
                        [&](std::shared_ptr<Exchange> e) {
                          e->on_gone([&gone] { gone = true; });
                          held = std::move(e);
                        },
                        false}},
                      options);
    TestClient client(server.port());
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.shut_writing();
    if (aborts) {
      EXPECT_TRUE(server.wait_for([](const HttpStats& s) { return s.disconnects == 1; }));
      server.run([&] { held.reset(); });
    } else {
      EXPECT_TRUE(server.wait_for([](const HttpStats& s) { return s.in_flight == 1; }));
      server.run([&] {
        held->respond({});
        held.reset();
      });
      EXPECT_EQ(client.read_reply().status, 200);
    }
    EXPECT_EQ(gone, aborts);
  }
}

}  // namespace
}  // namespace infernum::server
