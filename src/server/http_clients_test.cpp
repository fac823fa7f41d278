// Clients that dawdle, never read, come in crowds or vanish.
#include <dirent.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>

#include "server/http_server.h"
#include "server/test_server.h"

namespace infernum::server {
namespace {

using testing::echo_routes;
using testing::Reply;
using testing::TestClient;
using testing::TestServer;

HttpOptions impatient() {
  HttpOptions options;
  options.limits.header_seconds = 0.1;
  options.limits.body_seconds = 0.1;
  options.limits.idle_seconds = 0.3;
  options.limits.write_stall_seconds = 0.2;
  options.limits.linger_seconds = 0.1;
  return options;
}

TEST(HttpClients, DawdlersAreCutOff) {
  TestServer server(echo_routes(), impatient());
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

TEST(HttpClients, SlowlorisGetsNoMoreTimePerByte) {
  TestServer server(echo_routes(), impatient());
  TestClient client(server.port());
  const auto start = std::chrono::steady_clock::now();
  client.send("GET / HTTP/1.1\r\n");
  while (client.send("A: b\r\n") && std::chrono::steady_clock::now() - start < std::chrono::seconds(2)) {
    if (client.fill(20)) break;
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

TEST(HttpClients, BodiesMayTakeLongIfTheyFlow) {
  HttpOptions options = impatient();
  options.limits.body_bytes_per_second = 10000;
  TestServer server(echo_routes(), options);
  TestClient client(server.port());
  client.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000\r\n\r\n");
  for (int i = 0; i < 8; i++) {
    client.send(std::string(500, 'x'));
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  }
  EXPECT_EQ(client.read_reply().body.size(), 4004u);
}

TEST(HttpClients, ReadersOfStreamsThatDoNotReadAreCutOff) {
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

TEST(HttpClients, StalledAnswersEnd) {
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

TEST(HttpClients, SilentStreamsCarryComments) {
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

TEST(HttpClients, ConnectionsAreCounted) {
  HttpOptions options;
  options.limits.connections_per_address = 3;
  TestServer server(echo_routes(), options);
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

TEST(HttpClients, BodiesOfAllTogetherAreBounded) {
  HttpOptions options;
  options.limits.buffered_bytes = 100000;
  TestServer server(echo_routes(), options);
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

TEST(HttpClients, PipelinersWhoDoNotReadAreNotReadFromEither) {
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

TEST(HttpClients, ClientsThatVanishLeaveNothingBehind) {
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

TEST(HttpClients, HalfClosedClientsAreGoneUnlessAllowed) {
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
