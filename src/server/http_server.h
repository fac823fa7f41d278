// The HTTP listener: accepts, enforces limits, finds routes, asks for keys, and hands requests to their handlers on the I/O thread.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/access.h"
#include "server/event_loop.h"
#include "server/http.h"
#include "server/request_parser.h"

namespace infernum::server {

class TlsContext;

struct HttpLimits : RequestLimits {
  size_t buffered_bytes = size_t{1} << 30;  ///< of the bodies of all requests together
  size_t output_bytes = 1 << 20;            ///< that a stream's client may lag behind
  size_t connections = 16384, connections_per_address = 1024;
  // Seconds.
  double header_seconds = 10, body_seconds = 60, idle_seconds = 75, write_stall_seconds = 30, linger_seconds = 2;
  double body_bytes_per_second = 64e3;  ///< slower bodies get no more than body_seconds
  double ping_seconds = 15;             ///< of silence until a stream carries a comment; negative: never
};

struct HttpOptions {
  std::string host = "127.0.0.1";  ///< address or name to listen on
  int port = 8000;                 ///< 0: any that is free
  std::string api_prefix;          ///< "/x": serve /x/v1/...
  std::vector<std::string> cors_origins;
  std::vector<std::string> allowed_hosts;  ///< more names that Host may have where the server listens on loopback only
  bool half_close_aborts = true;           ///< a client that shuts its writing side down has gone
  HttpLimits limits;
};

/// Totals since the start, but for what is open now.
struct HttpStats {
  uint64_t connections = 0, accepted = 0, refused = 0;  ///< connections: open now
  uint64_t requests = 0, in_flight = 0;                 ///< in_flight: now
  uint64_t disconnects = 0, slow_readers = 0, timeouts = 0;
  uint64_t bytes_in = 0, bytes_out = 0;
};

/// All on the I/O thread, or before the loop runs.
class HttpServer {
 public:
  HttpServer(EventLoop& loop, HttpOptions options, std::shared_ptr<Doorkeeper> doorkeeper = nullptr);
  /// Requests that are in flight end as if their clients had gone.
  ~HttpServer();

  void set_routes(std::vector<Route> routes);
  /// Asked about every request whose key is good, with its route, if there is one: an answer refuses it.
  void set_gate(std::function<std::optional<HttpResponse>(const HttpRequest&, const Route*)> gate);
  void on_access(std::function<void(const AccessRecord&)> observer);
  void set_tls(std::shared_ptr<TlsContext> tls);
  void set_cors_origins(std::vector<std::string> origins);

  /// Throws, naming the address, if it cannot be had.
  void listen();
  int port() const;
  /// A connection that something else accepted; takes `fd` over.
  void adopt(int fd, std::string peer);

  /// From now on every answer closes its connection; idle ones are closed at once. The listener stays open, so that clients get an answer.
  void drain();
  void stop_listening();
  /// Answers every request in flight by an error; streams get it as their last event.
  void abort_all(int status, std::string_view message, std::string_view code);
  HttpStats stats() const;

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

}  // namespace infernum::server
