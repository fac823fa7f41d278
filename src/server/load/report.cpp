#include "server/load/report.h"

#include <cstdarg>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace infernum::load {
namespace {

using Json = nlohmann::ordered_json;

__attribute__((format(printf, 1, 2))) std::string print(const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return text;
}

Json milliseconds(const Spread& s) {
  return {{"mean", s.mean * 1e3}, {"p50", s.p50 * 1e3}, {"p90", s.p90 * 1e3},
          {"p95", s.p95 * 1e3},   {"p99", s.p99 * 1e3}, {"max", s.most * 1e3}};
}

Json point_json(const LoadPoint& point, const Slo& slo) {
  Json out;
  if (point.rate > 0)
    out["request_rate"] = point.rate;
  else
    out["concurrency"] = point.concurrency;
  out.update({{"duration_seconds", point.seconds},
              {"requests", point.requests},
              {"completed", point.completed},
              {"failures", point.failures},
              {"failure_examples", point.failure_examples},
              {"prompt_tokens", point.prompt_tokens},
              {"output_tokens", point.output_tokens},
              {"events", point.events},
              {"requests_per_second", point.requests_per_second},
              {"output_tokens_per_second", point.output_tokens_per_second},
              {"total_tokens_per_second", point.total_tokens_per_second},
              {"ttft_ms", milliseconds(point.ttft)},
              {"itl_ms", milliseconds(point.itl)},
              {"tpot_ms", milliseconds(point.tpot)},
              {"e2e_ms", milliseconds(point.e2e)},
              {"worst_lateness_ms", point.worst_lateness * 1e3}});
  if (slo.any()) {
    out["goodput_requests_per_second"] = point.goodput;
    out["goodput_share"] = point.goodput_share;
  }
  return out;
}

}  // namespace

std::string table_head(const Report& report) {
  std::string out = report.title + "; times in ms\n";
  out += print("%12s %6s %6s %8s %9s | %8s %8s %8s | %7s %7s %7s | %9s %9s %9s", "load", "done", "failed", "req/s", "tokens/s", "TTFT p50",
               "p95", "p99", "ITL p50", "p95", "p99", "E2E p50", "p95", "p99");
  return out + (report.slo.any() ? " | good req/s\n" : "\n");
}

std::string table_row(const Report& report, const LoadPoint& point) {
  const std::string load = point.rate > 0 ? print("%.6g req/s", point.rate) : print("%d at once", point.concurrency);
  std::string out = print("%12s %6zu %6zu %8.2f %9.1f | %8.1f %8.1f %8.1f | %7.2f %7.2f %7.2f | %9.1f %9.1f %9.1f", load.c_str(),
                          point.completed, point.requests - point.completed, point.requests_per_second, point.output_tokens_per_second,
                          point.ttft.p50 * 1e3, point.ttft.p95 * 1e3, point.ttft.p99 * 1e3, point.itl.p50 * 1e3, point.itl.p95 * 1e3,
                          point.itl.p99 * 1e3, point.e2e.p50 * 1e3, point.e2e.p95 * 1e3, point.e2e.p99 * 1e3);
  out += report.slo.any() ? print(" | %.2f (%.0f %%)\n", point.goodput, point.goodput_share * 100) : "\n";
  for (const auto& [kind, count] : point.failures) {
    std::string example;
    // What a server says must not steer the terminal.
    for (const char c : point.failure_examples.at(kind).substr(0, 200)) example += static_cast<unsigned char>(c) < 32 || c == 127 ? ' ' : c;
    out += print("%12s %zu failed: %s", "", count, kind.c_str()) + (example.empty() ? "" : " (" + example + ")") + "\n";
  }
  if (point.worst_lateness > 0.01 && point.rate > 0)
    out += print("%12s this client sent a request %.1f ms late: the latencies contain it\n", "", point.worst_lateness * 1e3);
  return out;
}

std::string report_json(const Report& report) {
  Json out{{"tool", "infernum bench serve " + report.version},
           {"url", report.url},
           {"endpoint", report.endpoint},
           {"model", report.model},
           {"input_len", report.input_len},
           {"output_len", report.output_len},
           {"seed", report.seed}};
  Json limits = Json::object();
  for (const auto& [name, limit] :
       {std::pair{"ttft", report.slo.ttft}, {"itl", report.slo.itl}, {"tpot", report.slo.tpot}, {"e2e", report.slo.e2e}})
    if (limit) limits[name] = *limit * 1e3;
  if (report.slo.any()) out["slo_ms"] = limits;
  out["points"] = Json::array();
  for (const LoadPoint& point : report.points) out["points"].push_back(point_json(point, report.slo));
  return out.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace infernum::load
