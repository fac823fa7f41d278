#include "server/load/client.h"

#include <poll.h>
#include <sys/epoll.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <deque>
#include <memory>

#include "core/check.h"
#include "server/load/chunk_parser.h"
#include "server/load/response_reader.h"
#include "server/load/socket.h"
#include "server/load/sse_reader.h"

namespace infernum::load {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t most_body_bytes = 64 << 20;

struct Connection {
  enum class State { Connecting, Sending, Reading, Idle, Closed };
  Socket socket;
  size_t place = 0;  // in the list of all
  State state = State::Connecting;
  size_t request = 0;  // index of the one it works for
  uint64_t turn = 0;   // tells its requests apart, for deadlines
  size_t sent_bytes = 0;
  bool reused = false;  // a server may close an idle connection just when it is used again: such a request is sent once more
  bool retried = false;
  bool answered = false;  // at least one byte
  bool finished = false;  // the end of the stream was seen
  double last_content = 0;
  ResponseReader response;
  SseReader events;
  std::string body;  // of an answer that is no stream
};

/// One thread, one epoll: what a client thread per request costs would be measured as latency of the server.
class Driver {
 public:
  Driver(const Address& address, const std::vector<std::string>& requests, const LoadPlan& plan)
      : address_(address), requests_(requests), plan_(plan), outcomes_(requests.size()), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    check(epoll_.fd() >= 0, "load client: epoll_create1:", std::strerror(errno));
    for (size_t i = 0; i < plan.arrivals.size(); i++) outcomes_[i].intended = plan.arrivals[i];
  }

  std::vector<Outcome> run() {
    while (ended_ < requests_.size()) {
      start_due();
      expire();
      if (ended_ == requests_.size()) break;
      wait();
      graveyard_.clear();
    }
    return std::move(outcomes_);
  }

 private:
  double now() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  bool open_loop() const { return !plan_.arrivals.empty(); }

  void start_due() {
    const size_t most = static_cast<size_t>(open_loop() ? plan_.max_connections : plan_.concurrency);
    while (next_ < requests_.size() && active_ < most) {
      const double at = now();
      if (open_loop()) {
        if (plan_.arrivals[next_] > at) return;
      } else {
        outcomes_[next_].intended = at;
      }
      launch(next_++, false);
    }
  }

  void launch(size_t request, bool retry) {
    Outcome& outcome = outcomes_[request];
    outcome.sent = now();
    active_++;
    Connection* connection = nullptr;
    if (!idle_.empty() && !retry) {
      connection = idle_.back();
      idle_.pop_back();
      connection->reused = true;
      connection->state = Connection::State::Sending;
    } else {
      auto made = std::make_unique<Connection>();
      made->socket = connect_to(address_);
      if (made->socket.fd() < 0) {
        active_--;
        return end(request, Failure::Connect, std::strerror(errno));
      }
      connection = made.get();
      connection->place = connections_.size();
      connections_.push_back(std::move(made));
      watch(*connection, EPOLL_CTL_ADD, EPOLLOUT);
    }
    connection->request = request;
    connection->turn = ++turns_;
    connection->sent_bytes = 0;
    connection->retried = retry;
    connection->answered = connection->finished = false;
    connection->body.clear();
    connection->response.reset();
    connection->events.reset();
    deadlines_.push_back({outcome.sent + plan_.timeout_seconds, connection, connection->turn});
    if (connection->state == Connection::State::Sending) send(*connection);
  }

  void watch(Connection& connection, int operation, uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &connection;
    check(::epoll_ctl(epoll_.fd(), operation, connection.socket.fd(), &event) == 0, "load client: epoll_ctl:", std::strerror(errno));
  }

  void send(Connection& connection) {
    const std::string& text = requests_[connection.request];
    while (connection.sent_bytes < text.size()) {
      const ssize_t n =
          ::send(connection.socket.fd(), text.data() + connection.sent_bytes, text.size() - connection.sent_bytes, MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) return watch(connection, EPOLL_CTL_MOD, EPOLLOUT | EPOLLIN);
      if (n < 0) return lost(connection, std::strerror(errno));
      connection.sent_bytes += static_cast<size_t>(n);
    }
    connection.state = Connection::State::Reading;
    watch(connection, EPOLL_CTL_MOD, EPOLLIN);
  }

  void wait() {
    double until = now() + 1;
    if (open_loop() && next_ < requests_.size() && active_ < static_cast<size_t>(plan_.max_connections))
      until = std::min(until, plan_.arrivals[next_]);
    if (!deadlines_.empty()) until = std::min(until, deadlines_.front().at);
    epoll_event events[256];
    int n = ::epoll_wait(epoll_.fd(), events, 256, 0);
    if (n == 0) {
      // epoll_wait counts in milliseconds, which would delay arrivals; ppoll on it counts in nanoseconds.
      const double seconds = std::max(0.0, until - now());
      const timespec time{static_cast<time_t>(seconds), static_cast<long>(std::fmod(seconds, 1) * 1e9)};
      pollfd ready{epoll_.fd(), POLLIN, 0};
      ::ppoll(&ready, 1, &time, nullptr);
      n = ::epoll_wait(epoll_.fd(), events, 256, 0);
    }
    for (int i = 0; i < n; i++) {
      Connection& connection = *static_cast<Connection*>(events[i].data.ptr);
      // An exception is about this connection's answer; the others go on.
      try {
        handle(connection, events[i].events);
      } catch (const Error& error) {
        close(connection, Failure::Malformed, error.what());
      }
    }
  }

  void handle(Connection& connection, uint32_t events) {
    switch (connection.state) {
      case Connection::State::Connecting: {
        int error = 0;
        socklen_t size = sizeof error;
        ::getsockopt(connection.socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) return close(connection, Failure::Connect, std::strerror(error));
        connection.state = Connection::State::Sending;
        return send(connection);
      }
      case Connection::State::Sending:
        // A server may answer, say 413, before it has read everything.
        if (events & EPOLLIN) return read(connection);
        return send(connection);
      case Connection::State::Reading: return read(connection);
      case Connection::State::Idle: return drop(connection);
      case Connection::State::Closed: return;
    }
  }

  void read(Connection& connection) {
    const ssize_t n = ::recv(connection.socket.fd(), buffer_.data(), buffer_.size(), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) return lost(connection, std::strerror(errno));
    if (n == 0) {
      if (connection.response.head_done() && connection.response.closed()) return complete(connection);
      return lost(connection, "the server closed the connection");
    }
    connection.answered = true;
    const double at = now();
    const std::string_view bytes(buffer_.data(), static_cast<size_t>(n));
    const size_t taken = connection.response.feed(bytes, [&](std::string_view piece) { body(connection, piece, at); });
    if (connection.state == Connection::State::Closed || !connection.response.done()) return;
    check(taken == bytes.size(), "response: bytes behind its end:", bytes.size() - taken);
    complete(connection);
  }

  void body(Connection& connection, std::string_view piece, double at) {
    if (plan_.stream && connection.response.status == 200 && connection.response.event_stream)
      return connection.events.feed(piece, [&](std::string_view data) { event(connection, data, at); });
    check(connection.body.size() + piece.size() <= most_body_bytes, "response: a body larger than", most_body_bytes, "bytes");
    connection.body += piece;
  }

  void event(Connection& connection, std::string_view data, double at) {
    Outcome& outcome = outcomes_[connection.request];
    const Chunk chunk = parser_.parse(data);
    outcome.events++;
    if (chunk.error && outcome.failure == Failure::None) {
      outcome.failure = Failure::Stream;
      outcome.message = *chunk.error;
    }
    if (chunk.finished) connection.finished = true;
    take_usage(outcome, chunk);
    if (!chunk.content) return;
    if (outcome.first == 0)
      outcome.first = at;
    else
      outcome.gaps.push_back(static_cast<float>(at - connection.last_content));
    connection.last_content = at;
  }

  static void take_usage(Outcome& outcome, const Chunk& chunk) {
    if (chunk.prompt_tokens) outcome.prompt_tokens = *chunk.prompt_tokens;
    if (chunk.output_tokens) outcome.output_tokens = *chunk.output_tokens;
  }

  void complete(Connection& connection) {
    Outcome& outcome = outcomes_[connection.request];
    outcome.status = connection.response.status;
    Failure failure = outcome.failure;
    std::string message = outcome.message;
    if (outcome.status != 200) {
      failure = Failure::Status;
      try {
        message = parser_.parse(connection.body).error.value_or("");
      } catch (const Error&) {  // an error page of a proxy
        message = connection.body.substr(0, 80);
      }
    } else if (plan_.stream && !connection.response.event_stream) {
      failure = Failure::Malformed;
      message = "the answer is no stream of events";
    } else if (!plan_.stream) {
      const Chunk chunk = parser_.parse(connection.body);
      take_usage(outcome, chunk);
      if (!chunk.choices || !chunk.finished) failure = Failure::Incomplete;
    } else if (failure == Failure::None && !connection.finished) {
      failure = Failure::Incomplete;
      message = "the stream ended without a finish_reason";
    }
    const size_t request = connection.request;
    if (connection.response.keep_alive && failure != Failure::Malformed) {
      connection.state = Connection::State::Idle;
      idle_.push_back(&connection);
      if (connection.sent_bytes < requests_[request].size()) drop(connection);  // the rest of the request would follow as another
    } else {
      drop(connection);
    }
    active_--;
    end(request, failure, std::move(message));
  }

  void lost(Connection& connection, const char* why) {
    const bool again = connection.reused && !connection.answered && !connection.retried;
    const size_t request = connection.request;
    if (!again) return close(connection, Failure::Closed, why);
    drop(connection);
    active_--;
    launch(request, true);
  }

  /// Ends the connection and the request that it works for.
  void close(Connection& connection, Failure failure, std::string message) {
    if (connection.state == Connection::State::Closed) return;
    const bool busy = connection.state != Connection::State::Idle;
    const size_t request = connection.request;
    outcomes_[request].status = connection.response.status;
    drop(connection);
    if (!busy) return;
    active_--;
    end(request, failure, std::move(message));
  }

  void drop(Connection& connection) {
    if (connection.state == Connection::State::Idle) std::erase(idle_, &connection);
    connection.state = Connection::State::Closed;
    connection.socket = Socket();
    auto& held = connections_[connection.place];
    graveyard_.push_back(std::move(held));
    if (&held != &connections_.back()) {
      held = std::move(connections_.back());
      held->place = connection.place;
    }
    connections_.pop_back();
  }

  void expire() {
    const double at = now();
    while (!deadlines_.empty() && deadlines_.front().at <= at) {
      const Deadline due = deadlines_.front();
      deadlines_.pop_front();
      for (const auto& connection : connections_)
        if (connection.get() == due.connection && connection->turn == due.turn && connection->state != Connection::State::Idle) {
          close(*connection, Failure::Timeout, "no complete answer in time");
          break;
        }
    }
  }

  void end(size_t request, Failure failure, std::string message) {
    Outcome& outcome = outcomes_[request];
    outcome.end = now();
    if (outcome.first == 0) outcome.first = outcome.end;
    if (outcome.output_tokens == 0 && outcome.events > 0) outcome.output_tokens = static_cast<int64_t>(outcome.gaps.size()) + 1;
    outcome.failure = failure;
    outcome.message = std::move(message);
    ended_++;
  }

  struct Deadline {
    double at;
    const Connection* connection;
    uint64_t turn;
  };

  Address address_;
  const std::vector<std::string>& requests_;
  const LoadPlan& plan_;
  std::vector<Outcome> outcomes_;
  Socket epoll_;
  std::vector<std::unique_ptr<Connection>> connections_, graveyard_;
  std::vector<Connection*> idle_;
  std::deque<Deadline> deadlines_;  // ascending, since all have the same time; those of ended requests stay until theirs comes
  std::vector<char> buffer_ = std::vector<char>(256 << 10);
  ChunkParser parser_;
  size_t next_ = 0, active_ = 0, ended_ = 0;
  uint64_t turns_ = 0;
  const Clock::time_point start_ = Clock::now();
};

}  // namespace

std::vector<Outcome> run_load(const Target& target, const std::vector<std::string>& requests, const LoadPlan& plan) {
  check(plan.arrivals.empty() || plan.arrivals.size() == requests.size(), "load client: one arrival per request:", plan.arrivals.size(),
        "for", requests.size());
  check(plan.concurrency >= 1 && plan.max_connections >= 1, "load client: at least one connection:", plan.concurrency,
        plan.max_connections);
  return Driver(reachable_address(target.host, target.port), requests, plan).run();
}

}  // namespace infernum::load
