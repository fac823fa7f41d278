#include "core/device_error.h"

#include <unistd.h>

#include <new>

namespace infernum {

std::string mebibytes(int64_t bytes) {
  constexpr int64_t mebibyte = 1 << 20;
  if (bytes < mebibyte) return std::to_string(bytes) + " bytes";
  return std::to_string(bytes / mebibyte + (bytes % mebibyte >= mebibyte / 2)) + " MiB";
}

OutOfMemory::OutOfMemory(std::string_view place, int64_t asked, int64_t unused, int64_t total)
    : Error("not enough memory " + std::string(place) + ": " + mebibytes(asked) + " were asked for, " + mebibytes(unused) + " of " +
            mebibytes(total) + " are free") {}

OutOfMemory out_of_host_memory(int64_t asked) {
  const int64_t page = sysconf(_SC_PAGESIZE);
  return {"on this machine", asked, sysconf(_SC_AVPHYS_PAGES) * page, sysconf(_SC_PHYS_PAGES) * page};
}

std::optional<std::string> memory_shortage(const std::exception& error) {
  if (dynamic_cast<const OutOfMemory*>(&error)) return error.what();
  if (dynamic_cast<const std::bad_alloc*>(&error)) return "not enough memory on this machine";
  return std::nullopt;
}

}  // namespace infernum
