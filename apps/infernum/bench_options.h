// What the commands below `infernum bench` can be told. Filled by cli_bench.cpp.
#pragma once
#include <string>
#include <vector>

#include "options.h"
#include "server/load/workload.h"

namespace CLI {
class App;
}

namespace infernum::app {

struct BenchServeFlags {
  load::Workload workload;
  std::string url = "http://127.0.0.1:8000", endpoint = "chat", api_key, slo, json_file, plot_file;
  std::vector<double> request_rates;  ///< open loop, one point each
  std::vector<int> concurrencies;     ///< closed loop, one point each; 1 where neither is given
  int warm_up = 3, max_connections = 10000;
  double timeout = 600, pause = 1;  ///< seconds
  double duration = 0;              ///< seconds of arrivals per load of an open loop; 0: the workload's number of requests
  bool no_stream = false;
};

struct BenchThroughputFlags : ModelFlags {
  load::Workload workload;
  int concurrency = 8;
  int64_t max_num_batched_tokens = 512;
  bool json = false;
};

struct BenchOpsFlags : ModelFlags {
  std::string shape, format = "bf16";
  std::vector<std::string> ops;  ///< empty: all of a step
  std::vector<int64_t> tokens{1, 8, 512};
  int64_t context = 512;
  double seconds = 0.2;  ///< for each op
  bool json = false;
};

/// --shape and --format: synthetic weights instead of a model.
void add_synthetic_flags(CLI::App* app, std::string& shape, std::string& format);

/// `serve`, `throughput` and `ops` below `bench`.
void add_bench_commands(CLI::App& bench, BenchServeFlags& serve, BenchThroughputFlags& throughput, BenchOpsFlags& ops);

/// Each returns the exit code.
int bench_serve(const BenchServeFlags& flags);
int bench_throughput(const BenchThroughputFlags& flags);
int bench_ops(const BenchOpsFlags& flags);

}  // namespace infernum::app
