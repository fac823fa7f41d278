// What `infernum serve` can be told. Filled by cli_serve.cpp from flags, environment and a configuration file.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "options.h"
#include "server/http_server.h"

namespace CLI {
class App;
}

namespace infernum::app {

struct ServeFlags : ModelFlags {
  std::string config;
  server::HttpOptions http;
  std::vector<std::string> served_model_name, api_key, admin_api_key;
  std::string api_key_file, tls_cert, tls_key, tls_client_ca;
  int64_t rate_limit_requests = 0, rate_limit_tokens = 0, rate_limit_concurrent = 0;
  double drain_delay = 0, shutdown_timeout = 30, watchdog = 30;
  int64_t max_body_size = 32 << 20, max_connections = 16384, max_connections_per_ip = 1024;
  std::string half_close = "abort";

  std::string engine = "model", trace, chat_template_file, generation_config = "auto";
  int64_t max_num_seqs = 16, max_num_batched_tokens = 512, max_queue = 0, kv_cache_tokens = 0;
  bool enable_prefix_caching = true;
  double sim_ttft_ms = 0, sim_itl_ms = 0;

  int64_t stream_interval = 1;
  double queue_timeout = 60, request_timeout = 600;
  bool strict_fields = false, accept_any_model = false, trust_request_chat_template = false, enable_tokenizer_info = false;
  bool public_metrics = false, no_page = false, server_timing = false, log_content = false;
  int64_t max_n = 16, max_logprobs = 20, seed = -1;
  std::string logprobs_mode = "raw", scheduling_policy = "fcfs";
  std::string metrics_names = "vllm", log_format = "auto", log_level = "info";
};

/// `serve`; `add_model` adds the flags that every command with a model has.
void add_serve_command(CLI::App& root, ServeFlags& flags, const std::function<void(CLI::App*, ModelFlags&)>& add_model);

/// Makes what the configuration file says the defaults of serve's flags: --config or INFERNUM_CONFIG of this command line, else the first
/// of $XDG_CONFIG_HOME/infernum/config.toml and /etc/infernum/config.toml that exists. Throws Error, naming file, key and the nearest known
/// one.
void apply_config_file(CLI::App& serve, int argc, char** argv);

/// Serves by the command line of the whole program, which was found to be good. Returns the exit code.
int serve(int argc, char** argv);

}  // namespace infernum::app
