// The flags of `infernum serve`.
#include <CLI/CLI.hpp>

#include "cli.h"
#include "serve_options.h"
#include "values.h"

namespace infernum::app {
namespace {

/// Adds flags to one command, each with its environment variable.
class Flags {
 public:
  explicit Flags(CLI::App* app) : app_(app) {}

  template <class T>
  CLI::Option* add(const std::string& name, T& value, const std::string& help) {
    return app_->add_option("--" + name, value, help)
        ->envname(env_name(name))
        ->capture_default_str()
        ->run_callback_for_default()
        ->group(group);
  }
  CLI::Option* list(const std::string& name, std::vector<std::string>& values, const std::string& help) {
    return app_->add_option("--" + name, values, help)
        ->envname(env_name(name))
        ->delimiter(',')
        ->allow_extra_args(false)
        ->run_callback_for_default()
        ->group(group);
  }
  void add_switch(const std::string& name, bool& value, const std::string& help, const std::string& negation = "") {
    app_->add_flag("--" + name + (negation.empty() ? "" : ",!--" + negation), value, help)
        ->envname(env_name(name))
        ->run_callback_for_default()
        ->group(group);
  }
  std::string group;

 private:
  CLI::App* app_;
};

constexpr double longest = 1e6;  ///< seconds

void add_listener(Flags& flags, ServeFlags& f) {
  flags.group = "Listener";
  flags.add("host", f.http.host, "address to listen on; the default can be reached from this machine alone");
  flags.add("port", f.http.port, "0: any that is free")->transform(whole(0, 65535));
  flags.add("api-prefix", f.http.api_prefix, "path before every route, such as /llm");
  flags.list("allowed-hosts", f.http.allowed_hosts, "further values of Host while only this machine is listened to; * for any");
  flags.list("cors-origins", f.http.cors_origins, "origins whose pages may read answers, such as https://app.example");
  flags.add("tls-cert", f.tls_cert, "certificate chain, PEM; read again when it changes");
  flags.add("tls-key", f.tls_key, "its key, PEM");
  flags.add("tls-client-ca", f.tls_client_ca, "authorities, PEM: only clients with a certificate of one of them get in");
  flags.add("half-close", f.half_close, "a client that shuts its writing side: abort its request, or allow it")
      ->check(one_of({"abort", "allow"}));
  flags.add_switch("no-page", f.no_page, "do not serve the chat page");
}

void add_access(Flags& flags, ServeFlags& f) {
  flags.group = "Access";
  flags.list("api-key", f.api_key, "key that clients must send; may be given several times");
  flags.list("admin-api-key", f.admin_api_key, "key of /admin/*");
  flags.add("api-key-file", f.api_key_file, "file with a key per line (docs/server.md); read again when it changes");
  flags.add("rate-limit-requests", f.rate_limit_requests, "of each key, per minute; 0: none")->transform(whole(0, INT64_MAX));
  flags.add("rate-limit-tokens", f.rate_limit_tokens, "of each key, per minute; 0: none")->transform(whole(0, INT64_MAX));
  flags.add("rate-limit-concurrent", f.rate_limit_concurrent, "of each key, at once; 0: none")->transform(whole(0, INT64_MAX));
  flags.add_switch("public-metrics", f.public_metrics, "/metrics needs no key");
}

void add_limits(Flags& flags, ServeFlags& f) {
  flags.group = "Limits";
  server::HttpLimits& l = f.http.limits;
  flags.add("max-body-size", f.max_body_size, "bytes of a request")->transform(whole(1024, int64_t{1} << 40));
  flags.add("max-connections", f.max_connections, "in all")->transform(whole(1, 1 << 20));
  flags.add("max-connections-per-ip", f.max_connections_per_ip, "of one address")->transform(whole(1, 1 << 20));
  flags.add("header-timeout", l.header_seconds, "seconds")->check(between(0, longest, true));
  flags.add("body-timeout", l.body_seconds, "seconds, and one more for every 64 model_b")->check(between(0, longest, true));
  flags.add("keep-alive-timeout", l.idle_seconds, "seconds between requests")->check(between(0, longest, true));
  flags.add("write-timeout", l.write_stall_seconds, "seconds without the client taking a byte")->check(between(0, longest, true));
  flags.add("ping-interval", l.ping_seconds, "seconds of silence until a stream carries a comment; -1: never")->check(between(-1, longest));
  flags.add("max-queue", f.max_queue, "requests that wait; 0: four times --max-num-seqs")->transform(whole(0, 1 << 20));
  flags.add("queue-timeout", f.queue_timeout, "seconds until a request must have begun; 0: none")->check(between(0, longest));
  flags.add("request-timeout", f.request_timeout, "seconds until a request must have ended; 0: none")->check(between(0, longest));
  flags.add("drain-delay", f.drain_delay, "seconds for which a server that is told to stop still serves")->check(between(0, longest));
  flags.add("shutdown-timeout", f.shutdown_timeout, "seconds that requests in flight then have")->check(between(0, longest));
  flags.add("watchdog", f.watchdog, "seconds without a step until a busy engine counts as dead")->check(between(0, longest, true));
}

void add_engine(Flags& flags, ServeFlags& f) {
  flags.group = "Engine";
  flags.add("engine", f.engine, "model, or sim: no computing, the prompt echoed in set times")->check(one_of({"model", "sim"}));
  flags.add("max-num-seqs", f.max_num_seqs, "requests in a step")->transform(whole(1, 65536));
  flags.add("max-num-batched-tokens", f.max_num_batched_tokens, "tokens in a step")->transform(whole(1, 1 << 20));
  flags.add("kv-cache-tokens", f.kv_cache_tokens, "tokens that the cache holds; 0: by the machine's memory")
      ->transform(whole(0, INT32_MAX));
  flags.add_switch("enable-prefix-caching", f.enable_prefix_caching, "share what prompts begin with (the default)",
                   "no-enable-prefix-caching");
  flags.add("trace", f.trace, "write steps, requests and ops to this file, which Perfetto opens");
  flags.add("sim-ttft", f.sim_ttft_ms, "milliseconds to the first token, of --engine sim")->check(between(0, longest));
  flags.add("sim-itl", f.sim_itl_ms, "milliseconds between tokens, of --engine sim")->check(between(0, longest));
}

void add_api(Flags& flags, ServeFlags& f) {
  flags.group = "API";
  flags.list("served-model-name", f.served_model_name, "names of the model in requests, all words up to the next flag; answers to any")
      ->allow_extra_args(true);
  flags.add("chat-template", f.chat_template_file, "file with a Jinja template, instead of the model's own");
  flags.add("max-n", f.max_n, "most choices (n) of a prompt")->transform(whole(1, 128));
  flags.add("max-logprobs", f.max_logprobs, "most alternatives that a request may ask for at each token")->transform(whole(0, 20));
  flags
      .add("logprobs-mode", f.logprobs_mode,
           "logprobs of generated tokens: raw (the model's own distribution) or processed (the one that is drawn from)")
      ->check(one_of({"raw", "processed", "raw_logprobs", "processed_logprobs"}));
  flags.add("seed", f.seed, "requests without a seed draw by this and their number since the start; -1: differently every time")
      ->transform(whole(-1, INT64_MAX));
  flags.add("scheduling-policy", f.scheduling_policy, "fcfs: by arrival; priority: by the requests' priority, then by arrival")
      ->check(one_of({"fcfs", "priority"}));
  flags.add_switch("server-timing", f.server_timing, "answers have the header Server-Timing");
  flags.add("generation-config", f.generation_config, "auto: sampling as the model recommends; none: the API's defaults")
      ->check(one_of({"auto", "none"}));
  flags.add("stream-interval", f.stream_interval, "tokens per event of a stream")->transform(whole(1, 1024));
  flags.add_switch("strict-fields", f.strict_fields, "refuse requests with unknown fields");
  flags.add_switch("accept-any-model", f.accept_any_model, "unknown model names mean the default model");
  flags.add_switch("trust-request-chat-template", f.trust_request_chat_template, "requests may bring a template");
  flags.add_switch("enable-tokenizer-info", f.enable_tokenizer_info, "GET /tokenizer_info exists");
}

}  // namespace

void add_serve_command(CLI::App& root, ServeFlags& f, const std::function<void(CLI::App*, ModelFlags&)>& add_model) {
  CLI::App* app = root.add_subcommand("serve", "serve a model by the OpenAI API");
  add_model(app, f);
  for (CLI::Option* option : app->get_options()) option->run_callback_for_default();
  Flags flags(app);
  flags.add("config", f.config, "TOML file whose keys are these flags; see docs/server.md");
  add_listener(flags, f);
  add_access(flags, f);
  add_limits(flags, f);
  add_engine(flags, f);
  add_api(flags, f);
  flags.group = "Log";
  flags.add("log-format", f.log_format, "auto: human on a terminal, json elsewhere")->check(one_of({"auto", "human", "json"}));
  flags.add("log-level", f.log_level, "info; warning: no line per request; error")->check(one_of({"info", "warning", "error"}));
  flags.add_switch("log-content", f.log_content, "the line of a request has the beginnings of its prompt and answer");
  flags.add("metrics-names", f.metrics_names, "of /metrics: vllm, infernum or both")->check(one_of({"vllm", "infernum", "both"}));
  app->footer(
      "A flag wins over its environment variable, that over the configuration file. SIGHUP reads the file again: keys, rate limits,\n"
      "certificates, --cors-origins, --log-level and the aliases among --served-model-name change; the rest needs a restart.");
}

}  // namespace infernum::app
