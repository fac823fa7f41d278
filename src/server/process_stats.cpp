#include "server/process_stats.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace infernum::server {
namespace {

/// Unix time at which the machine started.
double boot_seconds() {
  std::ifstream stat("/proc/stat");
  for (std::string line; std::getline(stat, line);)
    if (line.rfind("btime ", 0) == 0) return std::stod(line.substr(6));
  return 0;
}

}  // namespace

ProcessStats process_stats() {
  ProcessStats stats;
  std::ifstream file("/proc/self/stat");
  const std::string line((std::istreambuf_iterator<char>(file)), {});
  // The second field, the name in brackets, may hold anything; what follows are numbers (proc(5)), beginning with field 3.
  std::istringstream fields(line.substr(std::min(line.size(), line.rfind(')') + 2)));
  std::string skip;
  const auto skip_fields = [&](int n) {
    for (int i = 0; i < n; i++) fields >> skip;
  };
  double user = 0, system = 0, start = 0, pages = 0, bytes = 0;
  skip_fields(11);  // 3 to 13
  fields >> user >> system;
  skip_fields(4);  // 16 to 19
  fields >> stats.threads;
  skip_fields(1);
  fields >> start >> bytes >> pages;
  const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  stats.cpu_seconds = (user + system) / ticks;
  stats.start_unix_seconds = boot_seconds() + start / ticks;
  stats.virtual_bytes = static_cast<int64_t>(bytes);
  stats.resident_bytes = static_cast<int64_t>(pages) * sysconf(_SC_PAGESIZE);
  std::error_code error;
  for (std::filesystem::directory_iterator fds("/proc/self/fd", error), end; !error && fds != end; fds.increment(error)) stats.open_fds++;
  if (stats.open_fds > 0) stats.open_fds--;  // the one that reads the folder
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) stats.max_fds = static_cast<int64_t>(limit.rlim_cur);
  return stats;
}

}  // namespace infernum::server
