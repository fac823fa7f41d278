// What the outcomes of a load say together: percentiles, throughput, goodput, failures by kind.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/load/client.h"

namespace infernum::load {

/// Limits in seconds that a request must keep to count for the goodput.
struct Slo {
  std::optional<double> ttft;  ///< time to first token
  std::optional<double> itl;   ///< gap between tokens, 95th percentile within the request
  std::optional<double> tpot;  ///< gap between tokens, mean of the request
  std::optional<double> e2e;   ///< to the end of the answer
  bool any() const { return ttft || itl || tpot || e2e; }
};

/// "ttft:200ms,itl:50ms,e2e:10s": ms, s, or milliseconds without a unit.
Slo parse_slo(std::string_view text);

/// Seconds. All 0 where there is no value.
struct Spread {
  double mean = 0, p50 = 0, p90 = 0, p95 = 0, p99 = 0, most = 0;
};

/// By linear interpolation between the closest ranks; 0 of nothing. `sorted` ascending, `share` 0 to 1.
double percentile(const std::vector<double>& sorted, double share);
Spread spread(std::vector<double> values);

struct LoadPoint {
  double rate = 0;      ///< open loop: requests per second asked for
  int concurrency = 0;  ///< closed loop
  double seconds = 0;   ///< from the first request's time to the last one's end
  size_t requests = 0, completed = 0;
  std::map<std::string, size_t> failures;  ///< by kind; statuses apart: "http 429"
  std::map<std::string, std::string> failure_examples;
  Spread ttft, itl, tpot, e2e;  ///< of the completed ones
  int64_t prompt_tokens = 0, output_tokens = 0, events = 0;
  double requests_per_second = 0, output_tokens_per_second = 0, total_tokens_per_second = 0;
  double goodput = 0;         ///< completed requests per second that kept the SLO
  double goodput_share = 0;   ///< of all requests
  double worst_lateness = 0;  ///< most that the client itself sent a request after its time
};

LoadPoint summarize(const std::vector<Outcome>& outcomes, const Slo& slo);

}  // namespace infernum::load
