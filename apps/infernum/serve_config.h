// The configuration of `infernum serve` as the server wants it, and what of it can be read anew while the server runs.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "serve_options.h"
#include "server/access_log.h"
#include "server/api_keys.h"
#include "server/http_server.h"
#include "server/server_metrics.h"
#include "server/transport.h"

namespace infernum::app {

struct ServeConfig {
  ServeFlags flags;
  std::map<std::string, std::string> values;  ///< of every flag, as text
};

/// Flags over environment over file over defaults. Throws Error, naming what is wrong.
ServeConfig read_serve_config(int argc, char** argv);

/// The flags whose values differ and that a running server does not take over.
std::vector<std::string> flags_that_need_a_restart(const ServeConfig& running, const ServeConfig& next);

/// Throws, naming the flag, where a value cannot be.
server::HttpOptions http_options(const ServeFlags& flags);
server::ApiKeyOptions key_options(const ServeFlags& flags);
server::LogFormat log_format(const ServeFlags& flags);
server::MetricNames metric_names(const ServeFlags& flags);

/// Null without --tls-cert. Throws, naming the flag or the file.
std::shared_ptr<server::TlsContext> read_tls(const ServeFlags& flags);

/// The names behind the first one.
std::vector<std::string> aliases(const ServeFlags& flags);

}  // namespace infernum::app
