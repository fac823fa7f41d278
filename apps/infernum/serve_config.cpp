#include "serve_config.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "cli.h"
#include "core/check.h"

namespace infernum::app {
namespace {

using namespace server;

constexpr std::string_view reloaded[] = {"--config",
                                         "--api-key",
                                         "--admin-api-key",
                                         "--api-key-file",
                                         "--rate-limit-requests",
                                         "--rate-limit-tokens",
                                         "--rate-limit-concurrent",
                                         "--cors-origins",
                                         "--log-level",
                                         "--served-model-name",
                                         "--tls-cert",
                                         "--tls-key",
                                         "--tls-client-ca"};

std::string value_of(const CLI::Option& option) {
  if (option.count() == 0) return option.get_default_str();
  std::string all;
  for (const std::string& part : option.results()) all += (all.empty() ? "" : ",") + part;
  return all;
}

/// The flag takes every word behind it, as vLLM's does, so a model that comes last would be one more name of the bundled one.
void check_names(const ServeFlags& flags) {
  if (!flags.model.empty() || flags.served_model_name.size() < 2) return;
  for (const std::string& name : flags.served_model_name)
    check(!std::filesystem::exists(name),
          "--served-model-name takes all words behind it, but one of them is a file or folder here; the model comes first: "
          "infernum serve MODEL --served-model-name NAME ...",
          name);
}

}  // namespace

ServeConfig read_serve_config(int argc, char** argv) {
  ServeConfig config;
  CLI::App root;
  add_serve_command(root, config.flags, add_model_flags);
  CLI::App& serve = *root.get_subcommand("serve");
  apply_config_file(serve, argc, argv);
  try {
    root.parse(argc, argv);
  } catch (const CLI::Error& e) {
    fail("the configuration cannot be read", e.what());
  }
  for (const CLI::Option* option : serve.get_options()) config.values[option->get_name()] = value_of(*option);
  check_names(config.flags);
  return config;
}

std::vector<std::string> flags_that_need_a_restart(const ServeConfig& running, const ServeConfig& next) {
  std::vector<std::string> names;
  for (const auto& [name, value] : running.values) {
    const bool taken_over = std::find(std::begin(reloaded), std::end(reloaded), name) != std::end(reloaded);
    if (!taken_over && next.values.at(name) != value) names.push_back(name);
  }
  const auto first = [](const ServeConfig& c) { return c.flags.served_model_name.empty() ? "" : c.flags.served_model_name.front(); };
  if (first(running) != first(next)) names.emplace_back("--served-model-name (its first name)");
  return names;
}

HttpOptions http_options(const ServeFlags& flags) {
  HttpOptions o = flags.http;
  o.limits.body_bytes = static_cast<size_t>(flags.max_body_size);
  o.limits.buffered_bytes = std::max(o.limits.buffered_bytes, o.limits.body_bytes);
  o.limits.connections = static_cast<size_t>(flags.max_connections);
  o.limits.connections_per_address = static_cast<size_t>(flags.max_connections_per_ip);
  o.half_close_aborts = flags.half_close == "abort";
  while (o.api_prefix.ends_with('/')) o.api_prefix.pop_back();
  check(o.api_prefix.empty() || o.api_prefix.starts_with('/'), "--api-prefix begins with /", o.api_prefix);
  for (const std::string& origin : o.cors_origins)
    check(origin == "*" || origin.find("://") != std::string::npos, "--cors-origins are such as https://app.example", origin);
  return o;
}

ApiKeyOptions key_options(const ServeFlags& flags) {
  ApiKeyOptions o;
  o.keys = flags.api_key;
  o.admin_keys = flags.admin_api_key;
  o.file = flags.api_key_file;
  o.limits = {flags.rate_limit_requests, flags.rate_limit_tokens, flags.rate_limit_concurrent};
  return o;
}

LogFormat log_format(const ServeFlags& flags) {
  const bool human = flags.log_format == "human" || (flags.log_format == "auto" && isatty(2));
  return human ? LogFormat::Human : LogFormat::Json;
}

MetricNames metric_names(const ServeFlags& flags) {
  return flags.metrics_names == "vllm" ? MetricNames::Vllm : flags.metrics_names == "infernum" ? MetricNames::Infernum : MetricNames::Both;
}

std::shared_ptr<TlsContext> read_tls(const ServeFlags& flags) {
  check(flags.tls_cert.empty() == flags.tls_key.empty(), "--tls-cert and --tls-key go together");
  check(flags.tls_client_ca.empty() || !flags.tls_cert.empty(), "--tls-client-ca needs --tls-cert and --tls-key", flags.tls_client_ca);
  return flags.tls_cert.empty() ? nullptr : load_tls(flags.tls_cert, flags.tls_key, flags.tls_client_ca);
}

std::vector<std::string> aliases(const ServeFlags& flags) {
  const auto& names = flags.served_model_name;
  return names.empty() ? names : std::vector<std::string>(names.begin() + 1, names.end());
}

}  // namespace infernum::app
