// What the operating system says of this process.
#pragma once
#include <cstdint>

namespace infernum::server {

struct ProcessStats {
  double cpu_seconds = 0;
  double start_unix_seconds = 0;
  int64_t resident_bytes = 0, virtual_bytes = 0;
  int64_t open_fds = 0, max_fds = 0, threads = 0;
};

/// What /proc does not tell stays 0.
ProcessStats process_stats();

}  // namespace infernum::server
