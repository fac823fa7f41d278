#include "server/http_server.h"

#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <random>
#include <unordered_map>

#include "core/check.h"
#include "core/log.h"
#include "server/gatekeeping.h"
#include "server/http_connection.h"
#include "server/listener.h"

namespace infernum::server {

class HttpServer::Core final : public ConnectionHost, public std::enable_shared_from_this<Core> {
 public:
  Core(EventLoop& l, HttpOptions o, std::shared_ptr<Doorkeeper> d) : ConnectionHost(l, std::move(o)), doorkeeper(std::move(d)) {
    update_date();
  }

  // What connections ask.
  Verdict judge(HttpRequest& request) override;
  Doorkeeper::Admission admit(const HttpRequest& request, const Route& route) override;
  void record(const AccessRecord& entry) override {
    if (observer) observer(entry);
  }
  std::string new_id() override;
  std::string_view cors_origin(const HttpRequest& request) const override { return allowed_origin(request, options.cors_origins); }
  void attend(HttpConnection& connection) override;
  void closed(HttpConnection& connection) override;

  void adopt(int fd, std::string peer);
  void listen();
  void tick();
  void arm_tick();
  void shutdown();

  std::shared_ptr<Doorkeeper> doorkeeper;
  std::shared_ptr<const Router> router = std::make_shared<const Router>();
  std::function<std::optional<HttpResponse>(const HttpRequest&, const Route*)> gate;
  std::function<void(const AccessRecord&)> observer;
  std::shared_ptr<TlsContext> tls;
  std::vector<std::unique_ptr<Listener>> listeners;
  std::vector<std::unique_ptr<HttpConnection>> connections;
  bool loopback = false;
  int port = 0;

 private:
  void housekeeping();
  void ask_for_housekeeping();
  void update_date();
  std::optional<HttpResponse> refusal(HttpRequest& request, const Router::Match& match);

  std::unordered_map<std::string, size_t> per_address_;
  std::vector<HttpConnection*> attention_;
  std::vector<std::unique_ptr<HttpConnection>> graveyard_;
  std::unique_ptr<IoLoop::Timer> timer_;
  std::mt19937_64 random_{std::random_device{}()};
  bool housekeeping_asked_ = false;
  time_t date_second_ = 0;
};

void HttpServer::Core::update_date() {
  const time_t now = time(nullptr);
  if (now == date_second_) return;
  date_second_ = now;
  tm parts{};
  gmtime_r(&now, &parts);
  char text[64];
  date.assign(text, strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts));
}

std::string HttpServer::Core::new_id() {
  constexpr char digits[] = "0123456789abcdef";
  std::string id = "req_";
  for (int half = 0; half < 2; half++) {
    uint64_t bits = random_();
    for (int i = 0; i < 16; i++, bits >>= 4) id += digits[bits & 15];
  }
  return id;
}

std::optional<HttpResponse> HttpServer::Core::refusal(HttpRequest& request, const Router::Match& match) {
  const Access access = match.route ? match.route->access : Access::Key;
  if (doorkeeper) {
    if (auto answer = doorkeeper->identify(request, access)) return answer;
  } else if (access == Access::Admin) {
    return error_response(403, "this server has no admin key", "admin_key_required");
  }
  if (gate)
    if (auto answer = gate(request, match.route)) return answer;
  if (!match.route) return no_such_route(request, match);
  return check_content(request, *match.route);
}

ConnectionHost::Verdict HttpServer::Core::judge(HttpRequest& request) {
  Verdict verdict;
  verdict.table = router;
  if (loopback && !request.header("host").empty() && !host_is_local(request.header("host"), options.allowed_hosts)) {
    verdict.refusal =
        error_response(403,
                       "this server is for its own machine; --allowed-hosts names further values of Host than localhost, not " +
                           std::string(request.header("host").substr(0, 100)),
                       "host_not_allowed");
    return verdict;
  }
  auto target = parse_target(request.path, options.api_prefix);
  if (!target) {
    verdict.refusal = error_response(400, "the URL is malformed", "invalid_url");
    return verdict;
  }
  request.path = std::move(target->path);
  request.query = std::move(target->query);
  if (request.method == "OPTIONS") {
    verdict.refusal = answer_options(request, *router, options.cors_origins);
    return verdict;
  }
  Router::Match match = router->find(request.method, request.path, request.query);
  if (match.route) {
    verdict.route = match.route;
    request.route = match.route->path;
    request.path = std::move(match.path);
  }
  verdict.refusal = refusal(request, match);
  return verdict;
}

Doorkeeper::Admission HttpServer::Core::admit(const HttpRequest& request, const Route& route) {
  if (!doorkeeper || route.access != Access::Key || request.method != "POST") return {};
  return doorkeeper->admit(request);
}

void HttpServer::Core::ask_for_housekeeping() {
  if (std::exchange(housekeeping_asked_, true)) return;
  loop.post([weak = weak_from_this()] {
    if (const auto core = weak.lock()) core->housekeeping();
  });
}

void HttpServer::Core::attend(HttpConnection& connection) {
  if (std::exchange(connection.awaiting_attention, true)) return;
  attention_.push_back(&connection);
  ask_for_housekeeping();
}

void HttpServer::Core::closed(HttpConnection& connection) {
  stats.connections--;
  const auto address = per_address_.find(connection.peer());
  if (address != per_address_.end() && --address->second == 0) per_address_.erase(address);
  const size_t slot = connection.slot;
  graveyard_.push_back(std::move(connections[slot]));
  if (slot + 1 < connections.size()) {
    connections[slot] = std::move(connections.back());
    connections[slot]->slot = slot;
  }
  connections.pop_back();
  ask_for_housekeeping();
}

void HttpServer::Core::housekeeping() {
  housekeeping_asked_ = false;
  std::vector<HttpConnection*> list;
  list.swap(attention_);
  for (HttpConnection* connection : list) {
    connection->awaiting_attention = false;
    connection->attend();
  }
  // Those that still wait for attention are destroyed behind it.
  std::erase_if(graveyard_, [](const auto& connection) { return !connection->awaiting_attention; });
  for (const auto& listener : listeners) listener->resume();  // the descriptors of those that went are free
}

void HttpServer::Core::adopt(int fd, std::string peer) {
  size_t& from_there = per_address_[peer];
  if (connections.size() >= options.limits.connections || from_there >= options.limits.connections_per_address) {
    if (from_there == 0) per_address_.erase(peer);
    stats.refused++;
    ::close(fd);
    return;
  }
  from_there++;
  stats.accepted++;
  stats.connections++;
  auto connection = std::make_unique<HttpConnection>(*this, fd, std::move(peer), tls ? tls->accept(fd) : nullptr);
  connection->slot = connections.size();
  connections.push_back(std::move(connection));
  connections.back()->start();
}

void HttpServer::Core::listen() {
  const ListeningSockets sockets = open_listening_sockets(options.host, options.port);
  port = sockets.port;
  loopback = sockets.loopback;
  for (const int fd : sockets.descriptors)
    listeners.push_back(std::make_unique<Listener>(loop, fd, [this](int accepted, std::string peer) { adopt(accepted, std::move(peer)); }));
}

void HttpServer::Core::arm_tick() {
  const HttpLimits& l = options.limits;
  double shortest = 2;
  for (const double seconds : {l.header_seconds, l.body_seconds, l.idle_seconds, l.write_stall_seconds, l.linger_seconds, l.ping_seconds})
    if (seconds > 0) shortest = std::min(shortest, seconds);
  timer_ = loop.after(std::max(shortest / 4, 0.01), [weak = weak_from_this()] {
    if (const auto core = weak.lock()) core->tick();
  });
}

void HttpServer::Core::tick() {
  update_date();
  const Time now = Clock::now();
  for (size_t i = connections.size(); i-- > 0;)
    if (i < connections.size()) connections[i]->tick(now);
  for (const auto& listener : listeners) listener->resume();
  arm_tick();
}

void HttpServer::Core::shutdown() {
  timer_.reset();
  listeners.clear();
  while (!connections.empty()) connections.back()->close();
  graveyard_.clear();
  attention_.clear();
}

HttpServer::HttpServer(EventLoop& loop, HttpOptions options, std::shared_ptr<Doorkeeper> doorkeeper)
    : core_(std::make_shared<Core>(loop, std::move(options), std::move(doorkeeper))) {
  core_->arm_tick();
}
HttpServer::~HttpServer() { core_->shutdown(); }

void HttpServer::set_routes(std::vector<Route> routes) { core_->router = std::make_shared<const Router>(std::move(routes)); }
void HttpServer::set_gate(std::function<std::optional<HttpResponse>(const HttpRequest&, const Route*)> gate) {
  core_->gate = std::move(gate);
}
void HttpServer::on_access(std::function<void(const AccessRecord&)> observer) { core_->observer = std::move(observer); }
void HttpServer::set_tls(std::shared_ptr<TlsContext> tls) { core_->tls = std::move(tls); }
void HttpServer::set_cors_origins(std::vector<std::string> origins) { core_->options.cors_origins = std::move(origins); }
void HttpServer::listen() { core_->listen(); }
int HttpServer::port() const { return core_->port; }
void HttpServer::adopt(int fd, std::string peer) { core_->adopt(fd, std::move(peer)); }

void HttpServer::drain() {
  core_->draining = true;
  for (const auto& connection : core_->connections) connection->retire();
}

void HttpServer::stop_listening() { core_->listeners.clear(); }

void HttpServer::abort_all(int status, std::string_view message, std::string_view code) {
  // What the owners of the exchanges do on hearing of it may end others of them, but no connection before the loop's next turn.
  for (size_t i = 0; i < core_->connections.size(); i++)
    if (HttpExchange* exchange = core_->connections[i]->exchange()) exchange->abort(status, message, code);
}

HttpStats HttpServer::stats() const { return core_->stats; }

}  // namespace infernum::server
