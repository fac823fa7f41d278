// MockServer: a server of known delays and known faults, one thread per connection, for the tests of the load client.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "server/load/client.h"

namespace infernum::load {

class MockServer {
 public:
  enum class Fault { None, Busy, CutStream, CutHead, ErrorEvent, NoEnd, Garbage, NotJson, Silent, CloseAfter, PlainJson };
  struct Behaviour {
    double first_seconds = 0, gap_seconds = 0;
    int tokens = 3;
    Fault fault = Fault::None;
    int fault_every = 1;  ///< only each so-manieth request has the fault
    bool one_at_a_time = false;
  };

  explicit MockServer(Behaviour behaviour) : behaviour_(behaviour), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
    ::listen(listener_, 1024);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    target_ = parse_url("http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)));
    acceptor_ = std::thread([this] { accept(); });
  }
  ~MockServer() {
    stopping_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    {
      std::lock_guard lock(mutex_);
      for (const int fd : fds_) ::shutdown(fd, SHUT_RDWR);
    }
    for (auto& thread : threads_) thread.join();
    for (const int fd : fds_) ::close(fd);
    ::close(listener_);
  }

  const Target& target() const { return target_; }
  /// Those that sent a request.
  int connections() const { return connections_; }
  int requests() const { return requests_; }
  /// Times that it really took, from a request's arrival to the first token and between tokens.
  std::vector<double> first_seconds() const { return first_; }
  std::vector<double> gap_seconds() const { return gaps_; }

 private:
  using Clock = std::chrono::steady_clock;
  static void sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }
  static bool write(int fd, const std::string& text) {
    return ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }
  static std::string chunk(const std::string& text) {
    char size[20];
    std::snprintf(size, sizeof size, "%zx\r\n", text.size());
    return size + text + "\r\n";
  }

  void accept() {
    for (int fd; (fd = ::accept(listener_, nullptr, nullptr)) >= 0;) {
      const int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      std::lock_guard lock(mutex_);
      fds_.push_back(fd);
      threads_.emplace_back([this, fd] {
        serve(fd);
        ::shutdown(fd, SHUT_RDWR);
      });
    }
  }

  void serve(int fd) {
    std::string in;
    char buffer[4096];
    for (int served = 0; !stopping_;) {
      const size_t head = in.find("\r\n\r\n");
      const size_t length = head == std::string::npos ? 0 : std::stoul(in.substr(in.find("Content-Length: ") + 16));
      if (head == std::string::npos || in.size() < head + 4 + length) {
        const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
        if (n <= 0) return;
        in.append(buffer, static_cast<size_t>(n));
        continue;
      }
      if (served++ == 0) connections_++;
      in.erase(0, head + 4 + length);
      const bool faulty = ++requests_ % behaviour_.fault_every == 0;
      if (!answer(fd, faulty ? behaviour_.fault : Fault::None)) return;
    }
  }

  /// false: the connection is over.
  bool answer(int fd, Fault fault) {
    const auto arrived = Clock::now();
    std::unique_lock<std::mutex> turn(turn_, std::defer_lock);
    if (behaviour_.one_at_a_time) turn.lock();
    if (fault == Fault::Silent) {
      while (!stopping_) sleep(0.005);
      return false;
    }
    if (fault == Fault::Garbage) return write(fd, "220 mail.example.org ESMTP\r\n");
    if (fault == Fault::CutHead) return write(fd, "HTTP/1.1 200 OK\r\nContent-"), false;
    if (fault == Fault::Busy) {
      const std::string body = R"({"error":{"message":"queue is full","type":"rate_limit_error"}})";
      return write(fd, "HTTP/1.1 429 Too Many Requests\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    }
    if (fault == Fault::PlainJson) return write(fd, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
    write(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    auto last = arrived;
    for (int i = 0; i < behaviour_.tokens; i++) {
      sleep(i ? behaviour_.gap_seconds : behaviour_.first_seconds);
      if (fault == Fault::NotJson) return write(fd, chunk("data: oops\n\n")), false;
      if (fault == Fault::ErrorEvent && i == 1)
        return write(fd, chunk("data: {\"error\":{\"message\":\"engine fault\"}}\n\ndata: [DONE]\n\n") + "0\r\n\r\n");
      if (fault == Fault::CutStream && i == 2) return false;
      note(i ? gaps_ : first_, last);
      if (!write(fd, chunk("data: {\"choices\":[{\"index\":0,\"text\":\"x\",\"finish_reason\":null}]}\n\n"))) return false;
      last = Clock::now();
    }
    if (fault != Fault::NoEnd)
      write(
          fd,
          chunk(
              "data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"length\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":4,"
              "\"completion_tokens\":" +
              std::to_string(behaviour_.tokens) + "}}\n\ndata: [DONE]\n\n"));
    return write(fd, "0\r\n\r\n") && fault != Fault::CloseAfter;
  }

  void note(std::vector<double>& list, Clock::time_point since) {
    std::lock_guard lock(mutex_);
    list.push_back(std::chrono::duration<double>(Clock::now() - since).count());
  }

  const Behaviour behaviour_;
  int listener_;
  Target target_;
  std::thread acceptor_;
  std::mutex mutex_, turn_;
  std::vector<int> fds_;
  std::vector<std::thread> threads_;
  std::vector<double> first_, gaps_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> connections_{0}, requests_{0};
};

}  // namespace infernum::load
