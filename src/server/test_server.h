// For tests: an HTTP server on a free loopback port with its own I/O thread, and a client that sends whatever bytes it is told to.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "server/event_loop.h"
#include "server/http_server.h"

namespace infernum::server::testing {

/// GET / and POST /echo, which answer their method and body.
inline std::vector<Route> echo_routes() {
  const auto echo = [](const std::shared_ptr<Exchange>& exchange) {
    HttpResponse response;
    response.body = exchange->request().method + exchange->request().body;
    exchange->respond(std::move(response));
  };
  return {{"GET", "/", Access::Public, echo, false}, {"POST", "/echo", Access::Public, echo, false}};
}

/// The loop's thread.
class LoopThread {
 public:
  LoopThread() : thread_([this] { loop.run(); }) {}
  ~LoopThread() {
    loop.stop();
    thread_.join();
  }
  /// Runs `work` on the loop and waits for it.
  void run(std::function<void()> work) {
    std::promise<void> done;
    loop.post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }
  EventLoop loop;

 private:
  std::thread thread_;
};

class TestServer {
 public:
  explicit TestServer(std::vector<Route> routes, HttpOptions options = {}, std::shared_ptr<Doorkeeper> doorkeeper = nullptr,
                      std::shared_ptr<TlsContext> tls = nullptr) {
    options.port = 0;
    thread_.run([&] {
      server_ = std::make_unique<HttpServer>(thread_.loop, std::move(options), std::move(doorkeeper));
      server_->set_routes(std::move(routes));
      server_->set_tls(std::move(tls));
      server_->on_access([this](const AccessRecord& record) {
        const std::lock_guard lock(mutex_);
        statuses_.push_back(record.status);
      });
      server_->listen();
      port_ = server_->port();
    });
  }
  ~TestServer() {
    thread_.run([&] { server_.reset(); });
  }
  int port() const { return port_; }
  HttpServer& server() { return *server_; }
  EventLoop& loop() { return thread_.loop; }
  void run(std::function<void()> work) { thread_.run(std::move(work)); }
  HttpStats stats() {
    HttpStats stats;
    run([&] { stats = server_->stats(); });
    return stats;
  }
  std::vector<int> statuses() {
    const std::lock_guard lock(mutex_);
    return statuses_;
  }
  /// Waits until `ok` holds of the statistics; false if it does not for three seconds.
  bool wait_for(const std::function<bool(const HttpStats&)>& ok) {
    for (int i = 0; i < 600; i++) {
      if (ok(stats())) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

 private:
  LoopThread thread_;
  std::unique_ptr<HttpServer> server_;
  std::mutex mutex_;
  std::vector<int> statuses_;
  int port_ = 0;
};

struct Reply {
  int status = 0;  ///< 0: the connection ended without an answer
  std::string head, body;
  std::string header(std::string name) const {
    const auto lower = [](std::string text) {
      for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      return text;
    };
    const std::string all = lower(head);
    const size_t at = all.find("\r\n" + lower(std::move(name)) + ": ");
    if (at == std::string::npos) return "";
    const size_t begin = all.find(": ", at) + 2;
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
};

class TestClient {
 public:
  explicit TestClient(int port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) close();
  }
  ~TestClient() { close(); }
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  int fd() const { return fd_; }
  void shut_writing() { shutdown(fd_, SHUT_WR); }
  /// False once the server has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  /// Until the connection ends or nothing comes for so long.
  std::string read_all(int timeout_ms = 3000) {
    std::string all = std::exchange(buffer_, "");
    while (fill(timeout_ms)) all += std::exchange(buffer_, "");
    return all;
  }
  /// Waits for more; false at the end, and in a silence of timeout_ms.
  bool fill(int timeout_ms = 3000) {
    pollfd waiting{fd_, POLLIN, 0};
    if (poll(&waiting, 1, timeout_ms) <= 0) return false;
    char bytes[65536];
    const ssize_t n = recv(fd_, bytes, sizeof bytes, 0);
    if (n <= 0) {
      ended_ = true;
      return false;
    }
    buffer_.append(bytes, static_cast<size_t>(n));
    return true;
  }
  bool ended() const { return ended_; }
  /// True when the server closes the connection within the time.
  bool closes_within(int timeout_ms) {
    while (fill(timeout_ms)) {}
    return ended_;
  }
  bool wait_for(std::string_view text, int timeout_ms = 3000) {
    while (buffer_.find(text) == std::string::npos)
      if (!fill(timeout_ms)) return false;
    return true;
  }
  /// The next answer; bodies by length or by chunks.
  Reply read_reply(bool head_only = false) {
    Reply reply;
    size_t end = 0;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
      if (!fill()) return reply;
    reply.head = buffer_.substr(0, end + 2);
    buffer_.erase(0, end + 4);
    reply.status = std::stoi(reply.head.substr(9, 3));
    if (head_only || reply.status == 204 || reply.status == 100) return reply;
    if (reply.header("transfer-encoding") == "chunked") {
      read_chunks(reply.body);
    } else if (const std::string length = reply.header("content-length"); !length.empty()) {
      const size_t bytes = std::stoul(length);
      while (buffer_.size() < bytes && fill()) {}
      reply.body = buffer_.substr(0, bytes);
      buffer_.erase(0, bytes);
    } else {
      reply.body = read_all();
    }
    return reply;
  }
  Reply request(std::string_view bytes, bool head_only = false) {
    send(bytes);
    return read_reply(head_only);
  }
  Reply get(const std::string& path, const std::string& headers = "") {
    return request("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
  }
  Reply post(const std::string& path, const std::string& body, const std::string& headers = "Content-Type: application/json\r\n") {
    return request("POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + headers +
                   "\r\n" + body);
  }

 private:
  void read_chunks(std::string& body) {
    for (;;) {
      size_t line = 0;
      while ((line = buffer_.find("\r\n")) == std::string::npos)
        if (!fill()) return;
      const size_t size = std::stoul(buffer_.substr(0, line), nullptr, 16);
      while (buffer_.size() < line + 2 + size + 2)
        if (!fill()) return;
      body += buffer_.substr(line + 2, size);
      buffer_.erase(0, line + 2 + size + 2);
      if (size == 0) return;
    }
  }
  int fd_;
  std::string buffer_;
  bool ended_ = false;
};

}  // namespace infernum::server::testing
