// Any bytes, in any pieces, to a connection: no crash, whole answers, and nothing left behind. The first two bytes choose the pieces.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "server/http_server.h"

namespace {

using namespace infernum::server;

void require(bool ok) {
  if (!ok) std::abort();
}

struct Target {
  EventLoop loop;
  HttpServer server;
  Target() : server(loop, options()) {
    const auto echo = [](const std::shared_ptr<Exchange>& exchange) {
      HttpResponse response;
      response.body = exchange->request().path + exchange->request().body;
      exchange->respond(std::move(response));
    };
    const auto stream = [](const std::shared_ptr<Exchange>& exchange) {
      exchange->begin_stream();
      exchange->send("data: 1\n\n");
      exchange->finish();
    };
    server.set_routes({{"GET", "/v1/models/*", Access::Key, echo, false},
                       {"POST", "/e", Access::Key, echo, false},
                       {"POST", "/v1/j", Access::Key, echo, true},
                       {"GET", "/s", Access::Public, stream, false},
                       {"GET", "/drop", Access::Public, [](const std::shared_ptr<Exchange>&) {}, false}});
  }
  static HttpOptions options() {
    HttpOptions o;
    o.limits.body_bytes = 1000;
    o.limits.header_bytes = 2000;
    o.limits.url_bytes = 200;
    o.limits.fields = 20;
    o.cors_origins = {"https://a.example"};
    return o;
  }
};

/// Reads what there is; true at the end of the connection.
bool drain(int fd) {
  std::array<char, 65536> bytes{};
  for (;;) {
    const ssize_t n = read(fd, bytes.data(), bytes.size());
    if (n == 0) return true;
    if (n < 0) return errno != EAGAIN;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Target target;
  if (size < 2) return 0;
  const size_t piece = data[0] == 0 ? size : data[0], pause = data[1] % 8;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  std::array<int, 2> ends{};
  require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0);
  target.server.adopt(ends[0], "fuzz");
  for (size_t i = 0; !bytes.empty(); i++) {
    const std::string_view part = bytes.substr(0, piece);
    if (send(ends[1], part.data(), part.size(), MSG_NOSIGNAL) < 0) break;
    bytes.remove_prefix(part.size());
    if (i % (pause + 1) == 0) target.loop.poll();
    if (drain(ends[1])) break;
  }
  target.loop.poll();
  shutdown(ends[1], SHUT_WR);
  for (int i = 0; i < 100 && target.server.stats().connections > 0; i++) {
    target.loop.poll();
    drain(ends[1]);
  }
  close(ends[1]);
  target.loop.poll();
  const HttpStats stats = target.server.stats();
  require(stats.connections == 0 && stats.in_flight == 0);
  return 0;
}
