// Sockets that accept connections at an address.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/event_loop.h"

namespace infernum::server {

/// One listening socket.
class Listener final : public Ready {
 public:
  using Accepted = std::function<void(int fd, std::string peer)>;
  Listener(EventLoop& loop, int fd, Accepted accepted);
  void on_readable() override;
  void on_writable() override {}
  /// Takes up accepting again after the process ran out of descriptors.
  void resume();

 private:
  int fd_;
  Accepted accepted_;
  std::unique_ptr<Descriptor> descriptor_;
  bool waiting_ = false;
};

struct ListeningSockets {
  std::vector<int> descriptors;
  int port = 0;
  bool loopback = true;  ///< none of them can be reached from another machine
};

/// One for each address of `host`. Throws, naming address and reason.
ListeningSockets open_listening_sockets(const std::string& host, int port);

}  // namespace infernum::server
