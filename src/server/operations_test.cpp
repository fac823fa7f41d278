// Life cycle, drain, signals, systemd, log lines.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/un.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "server/access_log.h"
#include "server/life_cycle.h"
#include "server/service_manager.h"
#include "server/test_server.h"

namespace infernum::server {
namespace {

using testing::LoopThread;
using testing::Reply;
using testing::TestClient;
using testing::TestServer;

/// A server with a life cycle, one route that waits and one that streams until it is told.
struct LivingServer {
  LifeCycle life{"1.2.3", 0.05};
  std::vector<std::shared_ptr<Exchange>> held;
  std::atomic<int> gone = 0;
  std::optional<EngineStats> engine;
  std::unique_ptr<Drain> drain;
  std::atomic<bool> done = false;
  TestServer server{life.routes()};

  LivingServer() {
    server.run([this] {
      life.watch_engine([this] { return engine; });
      server.server().set_gate([this](const HttpRequest& request, const Route* route) { return life.gate(request, route); });
    });
  }
  ~LivingServer() {
    server.run([this] {
      held.clear();
      drain.reset();
    });
  }
  void ready() {
    server.run([this] {
      auto routes = life.routes();
      for (const bool stream : {false, true})
        routes.push_back({"POST", stream ? "/stream" : "/wait", Access::Key,
                          [this, stream](std::shared_ptr<Exchange> e) {
                            if (stream) e->begin_stream();
                            e->on_gone([this] { gone++; });
                            held.push_back(std::move(e));
                          },
                          false});
      server.server().set_routes(std::move(routes));
      life.set_stage(Stage::Ready);
    });
  }
  void begin_drain(DrainOptions options) {
    server.run([&] { drain = std::make_unique<Drain>(server.loop(), server.server(), life, options, [this] { done = true; }); });
  }
  bool done_within(int milliseconds) {
    for (int i = 0; i < milliseconds / 5 && !done; i++) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return done;
  }
  int status(const std::string& path) { return TestClient(server.port()).get(path).status; }
};

TEST(LifeCycle, ProbesHearOfEveryStage) {
  LivingServer s;
  EXPECT_EQ(s.status("/live"), 200);
  EXPECT_EQ(s.status("/ready"), 503);
  const Reply loading = TestClient(s.server.port()).post("/v1/chat/completions", "{}");
  EXPECT_EQ(loading.status, 503) << "the listener is there before the model";
  EXPECT_EQ(loading.header("Retry-After"), "1");
  EXPECT_NE(loading.body.find(R"("type":"unavailable_error","param":null,"code":"model_loading")"), std::string::npos);
  s.ready();
  EXPECT_EQ(TestClient(s.server.port()).get("/health").body, R"({"status":"ok"})");
  EXPECT_EQ(s.status("/ready"), 200);
  EXPECT_EQ(TestClient(s.server.port()).get("/version").body, R"({"version":"1.2.3"})");
  EXPECT_EQ(s.status("/v1/unknown"), 404);
}

TEST(LifeCycle, AnEngineThatIsDeadOrStuckIsSeen) {
  LivingServer s;
  s.ready();
  const auto set = [&](EngineState state, int64_t running, double age) {
    s.server.run([&, state, running, age] {
      s.engine = EngineStats{};
      s.engine->state = state;
      s.engine->running = running;
      s.engine->heartbeat = std::chrono::steady_clock::now() -
                            std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(age));
    });
  };
  set(EngineState::Running, 1, 0);
  EXPECT_EQ(s.status("/live"), 200);
  set(EngineState::Running, 1, 10);
  EXPECT_EQ(s.status("/live"), 503);
  set(EngineState::Running, 0, 10);
  EXPECT_EQ(s.status("/live"), 200) << "one without work need not move";
  set(EngineState::Failed, 0, 0);
  EXPECT_EQ(s.status("/live"), 503);
  EXPECT_EQ(s.status("/ready"), 503);
  EXPECT_NE(TestClient(s.server.port()).post("/wait", "").body.find("engine_dead"), std::string::npos);
}

TEST(Drain, RequestsInFlightAreFinished) {
  LivingServer s;
  s.ready();
  TestClient waiting(s.server.port()), streaming(s.server.port()), idle(s.server.port());
  EXPECT_EQ(idle.get("/health").status, 200);
  waiting.send("POST /wait HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
  streaming.send("POST /stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(s.server.wait_for([](const HttpStats& h) { return h.in_flight == 2; }));
  s.begin_drain({0, 30});
  EXPECT_TRUE(idle.closes_within(1000));
  EXPECT_EQ(s.status("/ready"), 503);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  const Reply refused = TestClient(s.server.port()).post("/wait", "");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.header("Connection"), "close");
  EXPECT_FALSE(s.done);
  s.server.run([&] {
    for (const auto& e : s.held)
      if (e->request().route == "/stream") {
        e->send("data: [DONE]\n\n");
        e->finish();
      } else {
        e->respond({});
      }
    s.held.clear();
  });
  EXPECT_EQ(waiting.read_reply().header("Connection"), "close");
  EXPECT_EQ(streaming.read_reply().body, "data: [DONE]\n\n");
  EXPECT_TRUE(s.done_within(2000));
  EXPECT_EQ(s.gone, 0);
}

TEST(Drain, WhatLastsTooLongEndsWithAnError) {
  LivingServer s;
  s.ready();
  TestClient waiting(s.server.port()), streaming(s.server.port());
  waiting.send("POST /wait HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
  streaming.send("POST /stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(s.server.wait_for([](const HttpStats& h) { return h.in_flight == 2; }));
  s.begin_drain({0, 0.05});
  EXPECT_EQ(waiting.read_reply().status, 503);
  const std::string stream = streaming.read_reply().body;
  EXPECT_NE(stream.find("data: {\"error\":"), std::string::npos) << stream;
  EXPECT_NE(stream.find("data: [DONE]\n\n"), std::string::npos) << stream;
  EXPECT_TRUE(s.done_within(2000));
  EXPECT_EQ(s.gone, 2) << "their owners must hear of it, so that the engine stops working on them";
}

TEST(Drain, TheDelayStillServes) {
  LivingServer s;
  s.ready();
  s.begin_drain({0.3, 30});
  EXPECT_EQ(s.status("/ready"), 503);
  TestClient late(s.server.port());
  late.send("POST /wait HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(s.server.wait_for([](const HttpStats& h) { return h.in_flight == 1; }));
  s.server.run([&] {
    s.held[0]->respond({});
    s.held.clear();
  });
  EXPECT_EQ(late.read_reply().status, 200);
  EXPECT_FALSE(s.done);
  EXPECT_TRUE(s.done_within(2000));
}

TEST(ServiceManager, SystemdIsTold) {
  const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "infernum-test-" + std::to_string(getpid());
  std::copy(name.begin(), name.end(), address.sun_path + 1);
  ASSERT_EQ(
      bind(fd, reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size())), 0);
  setenv("NOTIFY_SOCKET", ("@" + name).c_str(), 1);
  notify_service_manager("READY=1");
  char text[64];
  EXPECT_EQ(std::string(text, static_cast<size_t>(recv(fd, text, sizeof text, MSG_DONTWAIT))), "READY=1");
  close(fd);
  notify_service_manager("READY=1");
  unsetenv("NOTIFY_SOCKET");
  setenv("WATCHDOG_USEC", "3000000", 1);
  EXPECT_EQ(watchdog_interval(), 1.5);
  setenv("WATCHDOG_PID", "1", 1);
  EXPECT_EQ(watchdog_interval(), 0) << "it is another process's";
  unsetenv("WATCHDOG_USEC");
  unsetenv("WATCHDOG_PID");
}

TEST(ServiceManager, SignalsArriveOnTheLoop) {
  EventLoop loop;
  std::vector<int> seen;
  SignalWatcher watcher(loop, {SIGUSR1, SIGUSR2}, [&](int signal) { seen.push_back(signal); });
  raise(SIGUSR1);
  raise(SIGUSR2);
  loop.poll();
  EXPECT_EQ(seen, (std::vector<int>{SIGUSR1, SIGUSR2}));
}

AccessRecord evil_record(const std::vector<std::pair<std::string_view, std::string>>& notes) {
  AccessRecord record;
  record.method = "GET";
  record.id = "req\n{\"level\":\"error\"}\x1b[2J";
  record.key = "al\"ice\r\n";
  record.route = "/v1/models/*";
  record.path = "/v1/models/secret";
  record.peer = "127.0.0.1";
  record.status = 200;
  record.seconds = 0.0123;
  record.notes = &notes;
  return record;
}

TEST(AccessLog, ClientsCannotWriteLinesOfTheirOwn) {
  const std::vector<std::pair<std::string_view, std::string>> notes = {{"model",
                                                                        "m\n\xff\xc2\x9b"
                                                                        "31m"},
                                                                       {"prompt_tokens", "12"},
                                                                       {"ttft_ms", "3.5"},
                                                                       {"prompt", "my secret"},
                                                                       {"finish_reason", "stop"}};
  for (const LogFormat format : {LogFormat::Human, LogFormat::Json}) {
    const std::string line = access_line(evil_record(notes), format, 1763745323.042);
    EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
    EXPECT_EQ(line.find('\x1b'), std::string::npos);
    EXPECT_EQ(line.find("\xc2\x9b"), std::string::npos) << "C1 controls steer terminals too";
    EXPECT_EQ(line.find("secret"), std::string::npos) << "no path, no prompt";
    const std::string asked = access_line(evil_record(notes), format, 1763745323.042, true);
    EXPECT_NE(asked.find("my secret"), std::string::npos) << "but on demand";
    EXPECT_EQ(asked.find('\n'), asked.size() - 1);
  }
  const auto json = nlohmann::json::parse(access_line(evil_record(notes), LogFormat::Json, 1763745323.042));
  EXPECT_EQ(json["ts"], "2025-11-21T17:15:23.042Z");
  EXPECT_EQ(json["route"], "/v1/models/*");
  EXPECT_EQ(json["prompt_tokens"], 12);
  EXPECT_EQ(json["ttft_ms"], 3.5);
  EXPECT_EQ(json["total_ms"], 12.3);
  EXPECT_EQ(json["key_id"], "al\"ice\r\n");
  EXPECT_TRUE(nlohmann::json::accept(message_line("warning", "a\nb\"", LogFormat::Json, 0)));
}

TEST(AccessLog, AFullDiskOrASlowPipeHoldsNothingUp) {
  std::signal(SIGPIPE, SIG_IGN);
  const int full = open("/dev/full", O_WRONLY);
  ASSERT_GE(full, 0);
  {
    LineWriter writer(full);
    for (int i = 0; i < 100; i++) writer.write("line\n");
    for (int i = 0; i < 600 && writer.dropped() < 100; i++) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_EQ(writer.dropped(), 100u);
  }
  close(full);
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_NONBLOCK), 0);
  {
    LineWriter writer(ends[1], 100000);
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 100000; i++) writer.write("a line that nobody reads\n");
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
    EXPECT_GT(writer.dropped(), 1000u);
    char bytes[65536];
    pollfd readable{ends[0], POLLIN, 0};
    EXPECT_EQ(poll(&readable, 1, 3000), 1);
    EXPECT_GT(read(ends[0], bytes, sizeof bytes), 0);
    close(ends[0]);
    ends[0] = -1;
  }
  close(ends[1]);
}

}  // namespace
}  // namespace infernum::server
