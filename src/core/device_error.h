// Errors that are no request's fault: memory that is short, and a device that is gone.
#pragma once
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/check.h"

namespace infernum {

/// Memory of the machine or of a device is short; less of it may still be had. what() is fit for a client.
class OutOfMemory : public Error {
 public:
  using Error::Error;
  /// "not enough memory <place>: 512 MiB were asked for, 100 MiB of 81079 MiB are free"; place is "on this machine", "on the device NAME".
  OutOfMemory(std::string_view place, int64_t asked, int64_t unused, int64_t total);
};

/// A device failed in a way that no later call on it can survive, for example by an illegal address: the process has to be started anew.
class DeviceLost : public Error {
 public:
  DeviceLost(const std::string& what, std::string reason) : Error(what), reason_(std::move(reason)) {}
  const std::string& reason() const { return reason_; }  ///< in the driver's words; fit for a client

 private:
  std::string reason_;
};

/// "512 MiB"; of less than one "1000 bytes".
std::string mebibytes(int64_t bytes);

/// OutOfMemory of memory that the machine refused.
OutOfMemory out_of_host_memory(int64_t asked);

/// What `error` says if it is about memory, which std::bad_alloc is too; nothing otherwise.
std::optional<std::string> memory_shortage(const std::exception& error);

}  // namespace infernum
