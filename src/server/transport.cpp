#include "server/transport.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace infernum::server {
namespace {

IoResult failure(IoResult::Status blocked) {
  return {errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? blocked : IoResult::Status::Failed, 0};
}

}  // namespace

IoResult Transport::read(char* to, size_t bytes) {
  if (tls_) return tls_->read(to, bytes);
  const ssize_t n = recv(fd_, to, bytes, 0);
  if (n < 0) return failure(IoResult::Status::WantRead);
  return {n == 0 ? IoResult::Status::End : IoResult::Status::Done, static_cast<size_t>(n)};
}

IoResult Transport::write(std::span<const std::string_view> parts) {
  if (tls_) {
    if (parts.size() == 1) return tls_->write(parts[0]);
    std::string joined;  // one record instead of one for each part
    for (const auto part : parts) joined += part;
    return tls_->write(joined);
  }
  std::array<iovec, 4> pieces{};
  const size_t count = std::min(parts.size(), pieces.size());
  for (size_t i = 0; i < count; i++) pieces[i] = {const_cast<char*>(parts[i].data()), parts[i].size()};
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = count;
  const ssize_t n = sendmsg(fd_, &message, MSG_NOSIGNAL);
  if (n < 0) return failure(IoResult::Status::WantWrite);
  return {IoResult::Status::Done, static_cast<size_t>(n)};
}

void Transport::shut_writing() { shutdown(fd_, SHUT_WR); }

}  // namespace infernum::server
