// One client's connection and the exchange it is in. Known to the HTTP server alone; others see Exchange.
#pragma once
#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "server/access.h"
#include "server/event_loop.h"
#include "server/http_server.h"
#include "server/request_parser.h"
#include "server/response_head.h"
#include "server/router.h"
#include "server/transport.h"

namespace infernum::server {

class HttpConnection;
using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;

inline double seconds_between(Time from, Time to) { return std::chrono::duration<double>(to - from).count(); }

/// What the connections of one server share, and what they ask it.
class ConnectionHost {
 public:
  ConnectionHost(EventLoop& l, HttpOptions o) : loop(l), options(std::move(o)), scratch(64 << 10) {}
  virtual ~ConnectionHost() = default;

  EventLoop& loop;
  HttpOptions options;
  HttpStats stats;
  std::vector<char> scratch;  ///< what is read lands here first, so that idle connections hold no buffers
  std::string date;           ///< of the Date field
  bool draining = false;
  std::shared_ptr<size_t> buffered = std::make_shared<size_t>(0);  ///< bytes of the bodies that are held

  struct Verdict {
    std::shared_ptr<const Router> table;  ///< keeps `route` alive
    const Route* route = nullptr;
    std::optional<HttpResponse> refusal;
  };
  /// Finds the route of a request whose header is complete: sets path, query, route, key.
  virtual Verdict judge(HttpRequest& request) = 0;
  virtual Doorkeeper::Admission admit(const HttpRequest& request, const Route& route) = 0;
  virtual void record(const AccessRecord& record) = 0;
  virtual std::string new_id() = 0;
  virtual std::string_view cors_origin(const HttpRequest& request) const = 0;  ///< empty: no CORS for it
  /// Calls connection.attend() from the loop, soon.
  virtual void attend(HttpConnection& connection) = 0;
  /// It has closed: destroys it soon.
  virtual void closed(HttpConnection& connection) = 0;
};

class HttpExchange final : public Exchange {
 public:
  HttpExchange(HttpConnection& connection, ConnectionHost& host, HttpRequest request, Time started, bool http_1_0);
  ~HttpExchange() override;

  const HttpRequest& request() const override { return request_; }
  void respond(HttpResponse response) override;
  void begin_stream(HeaderFields more) override;
  void send(std::string_view events) override;
  void finish() override;
  void on_gone(std::function<void()> handler) override;
  void note(std::string_view name, std::string value) override;

  void set_admission(Doorkeeper::Admission admission);
  /// The connection has ended. The exchange may be gone itself when this returns.
  void lost(bool slow);
  /// The last word, in place of the handler's.
  void abort(int status, std::string_view message, std::string_view code);
  void ping(Time now, double after_seconds);
  bool streaming() const { return state_ == State::Streaming; }

 private:
  enum class State { Waiting, Streaming, Done };
  void write_event(std::string_view events);
  /// The answer is complete: records it and frees the connection.
  void complete(bool gone);

  HttpConnection* connection_;
  EventLoop& loop_;
  std::shared_ptr<size_t> buffered_;
  HttpRequest request_;
  Time started_, last_sent_;
  std::function<void()> gone_;
  std::vector<std::pair<std::string_view, std::string>> notes_;
  std::unique_ptr<Grant> grant_;
  HeaderFields headers_;
  size_t bytes_out_ = 0;
  int status_ = 0;
  State state_ = State::Waiting;
  bool http_1_0_, lost_ = false;
};

class HttpConnection final : public Ready {
 public:
  HttpConnection(ConnectionHost& host, int fd, std::string peer, std::unique_ptr<TlsSession> tls);
  ~HttpConnection() override;
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  void start();
  void on_readable() override;
  void on_writable() override;
  void tick(Time now);
  void attend();
  void close();
  /// Closes now if no request is under way; else behind its answer.
  void retire();

  // For its exchange.
  /// Sends the parts behind what is still waiting. Never closes the connection from within: that comes by attend().
  void write(std::span<const std::string_view> parts, bool may_wait);
  void answered(bool keep_alive);
  void cut();  ///< soon
  void forget_exchange() { exchange_ = nullptr; }
  bool keep_alive() const;
  ConnectionHost& host() { return host_; }
  HttpExchange* exchange() { return exchange_; }
  const std::string& peer() const { return peer_; }

  size_t slot = 0;  ///< place in the server's list
  bool awaiting_attention = false;

 private:
  enum class State { Reading, Answering, Lingering, Closed };
  void received(std::string_view fresh);
  /// Takes what it can from the front of `bytes`.
  void parse(std::string_view& bytes);
  void on_head();
  void dispatch();
  void refuse(HttpResponse response, bool close_behind);
  void end_of_input(bool failed);
  /// Sends, without closing.
  void send_output();
  /// Sends, and goes on with what comes behind that.
  void flush();
  void wait_for_input();
  bool wants_input() const;
  void begin_request();
  void tick_reading(Time now);

  ConnectionHost& host_;
  std::string peer_;
  Transport transport_;
  std::unique_ptr<Descriptor> descriptor_;
  State state_ = State::Reading;
  std::string input_;   ///< received and not parsed
  std::string output_;  ///< behind output_sent_: not sent
  size_t output_sent_ = 0;
  HttpRequest request_;                    ///< the one that is being read
  std::unique_ptr<RequestParser> parser_;  ///< null between requests
  ConnectionHost::Verdict verdict_;
  HttpExchange* exchange_ = nullptr;
  Time since_, last_progress_;  ///< since_: the state, or the request's first byte; last_progress_: of writing
  size_t accounted_ = 0;        ///< bytes of request_.body within host_.buffered
  bool keep_alive_ = true, close_behind_ = false, linger_ = false, head_done_ = false, input_ended_ = false;
  bool reading_ = false, writing_ = false;  ///< waits under way
  bool parsing_ = false, broken_ = false, slow_ = false;
  bool first_ = true;  ///< nothing was received yet
};

}  // namespace infernum::server
