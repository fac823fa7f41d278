// `infernum bench serve`: a server under one load or several, as a table, JSON and plots.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <thread>

#include "bench_options.h"
#include "core/check.h"
#include "server/load/client.h"
#include "server/load/report.h"

namespace infernum::app {
namespace {

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// Creates the file before the measurement, not after it: a wrong path is to be told at once.
std::ofstream create(const std::string& path) {
  std::ofstream file(path, std::ios::binary);
  check(file.good(), "bench serve: cannot write", path);
  return file;
}

void finish(std::ofstream& file, const std::string& path, const std::string& text) {
  file << text;
  file.close();
  check(!file.fail(), "bench serve: cannot write", path);
}

/// Each request in flight needs a descriptor.
void raise_open_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

struct Load {
  double rate = 0;
  int concurrency = 0;
};

std::vector<Load> loads_of(const BenchServeFlags& flags) {
  std::vector<Load> loads;
  for (const double rate : flags.request_rates) loads.push_back({rate, 0});
  for (const int concurrency : flags.concurrencies) loads.push_back({0, concurrency});
  if (loads.empty()) loads.push_back({0, 1});
  return loads;
}

/// How many requests a load has.
int64_t requests_of(const BenchServeFlags& flags, const Load& load) {
  if (flags.duration <= 0) return flags.workload.requests;
  const double requests = std::max(1.0, std::round(load.rate * flags.duration));
  check(requests <= 1e7, "bench serve: --duration and --request-rate make more than 10000000 requests:", flags.duration, load.rate);
  return static_cast<int64_t>(requests);
}

load::LoadPlan plan_of(const BenchServeFlags& flags, const Load& load, size_t requests) {
  load::LoadPlan plan;
  if (load.rate > 0)
    plan.arrivals = load::poisson_arrivals(load.rate, requests, flags.workload.seed);
  else
    plan.concurrency = load.concurrency;
  plan.timeout_seconds = flags.timeout;
  plan.max_connections = flags.max_connections;
  plan.stream = !flags.no_stream;
  return plan;
}

std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g s", seconds);
  return text;
}

load::Report report_of(const BenchServeFlags& flags, const std::string& route) {
  load::Report report;
  const load::Workload& w = flags.workload;
  report.title = (w.model.empty() ? flags.url : w.model) + ", " + flags.endpoint +
                 (w.prompts_file.empty() ? ", " + w.input_len + " in" : ", " + w.prompts_file) + ", " + w.output_len + " out, " +
                 (flags.duration > 0 ? seconds_text(flags.duration) : std::to_string(w.requests) + " requests") + " per load";
  report.url = flags.url;
  report.endpoint = route;
  report.model = w.model;
  report.version = INFERNUM_VERSION;
  report.input_len = w.prompts_file.empty() ? w.input_len : w.prompts_file;
  report.output_len = w.output_len;
  report.seed = w.seed;
  report.slo = load::parse_slo(flags.slo);
  return report;
}

}  // namespace

int bench_serve(const BenchServeFlags& flags) {
  const load::Target target = load::parse_url(flags.url);
  const std::string route = flags.endpoint == "chat" ? "/v1/chat/completions" : "/v1/completions";
  const bool html = ends_with(flags.plot_file, ".html");
  check(flags.plot_file.empty() || html || ends_with(flags.plot_file, ".svg"),
        "bench serve: --plot takes a .svg or .html file:", flags.plot_file);
  raise_open_files();
  load::Report report = report_of(flags, route);
  load::Workload workload = flags.workload;
  workload.chat = flags.endpoint == "chat";
  workload.stream = !flags.no_stream;
  const auto requests_text = [&](const load::Workload& of) {
    std::vector<std::string> requests;
    for (const std::string& body : load::make_bodies(of)) requests.push_back(load::http_request(target, route, flags.api_key, body));
    return requests;
  };
  workload.requests = 1;
  requests_text(workload);  // says what is wrong with it before a file is touched
  const bool table = flags.json_file != "-";
  std::ofstream json, plot;
  if (table && !flags.json_file.empty()) json = create(flags.json_file);
  if (!flags.plot_file.empty()) plot = create(flags.plot_file);

  if (flags.warm_up > 0) {
    // Of another seed: the measured prompts must not be in the server's cache yet.
    workload.seed = ~workload.seed;
    workload.requests = flags.warm_up;
    const std::vector<std::string> warm_up = requests_text(workload);
    load::run_load(target, warm_up, plan_of(flags, {0, std::min(flags.warm_up, 4)}, warm_up.size()));
  }
  if (table) std::printf("%s", load::table_head(report).c_str());
  bool answered = false;
  for (const Load& load : loads_of(flags)) {
    if (!report.points.empty()) std::this_thread::sleep_for(std::chrono::duration<double>(flags.pause));
    // Prompts of its own for each load: those of the one before would be in the server's cache.
    workload.seed = flags.workload.seed + report.points.size() * 0x9E3779B97F4A7C15;
    workload.requests = requests_of(flags, load);
    const std::vector<std::string> requests = requests_text(workload);
    load::LoadPoint point = load::summarize(load::run_load(target, requests, plan_of(flags, load, requests.size())), report.slo);
    point.rate = load.rate;
    point.concurrency = load.concurrency;
    if (table) std::printf("%s", load::table_row(report, point).c_str());
    std::fflush(stdout);
    answered = answered || point.completed > 0;
    report.points.push_back(std::move(point));
  }
  if (json.is_open()) finish(json, flags.json_file, load::report_json(report));
  if (!table) std::printf("%s", load::report_json(report).c_str());
  if (plot.is_open()) finish(plot, flags.plot_file, html ? load::report_html(report) : load::report_svg(report));
  check(answered, "bench serve: no request was answered; the table says why:", flags.url);
  return 0;
}

}  // namespace infernum::app
