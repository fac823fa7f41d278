#include "server/load/summary.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/check.h"

namespace infernum::load {
namespace {

double parse_seconds(std::string_view text, std::string_view all) {
  double value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  const bool known = unit.empty() || unit == "ms" || unit == "s";
  check(error == std::errc() && known && value > 0 && std::isfinite(value), "SLO: a limit is a number above 0 with ms or s:", all);
  return unit == "s" ? value : value / 1e3;
}

bool keeps(const Outcome& outcome, const Slo& slo) {
  if (slo.ttft && outcome.first - outcome.intended > *slo.ttft) return false;
  if (slo.e2e && outcome.end - outcome.intended > *slo.e2e) return false;
  if (outcome.gaps.empty()) return true;
  const Spread gaps = spread(std::vector<double>(outcome.gaps.begin(), outcome.gaps.end()));
  return !(slo.itl && gaps.p95 > *slo.itl) && !(slo.tpot && gaps.mean > *slo.tpot);
}

}  // namespace

Slo parse_slo(std::string_view text) {
  Slo slo;
  const std::string_view all = text;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    const size_t colon = item.find(':');
    const std::string_view name = item.substr(0, colon);
    std::optional<double>* limit = name == "ttft"   ? &slo.ttft
                                   : name == "itl"  ? &slo.itl
                                   : name == "tpot" ? &slo.tpot
                                   : name == "e2e"  ? &slo.e2e
                                                    : nullptr;
    check(limit && colon != std::string_view::npos, "SLO: a list of ttft:, itl:, tpot: or e2e: with a time each:", all);
    *limit = parse_seconds(item.substr(colon + 1), all);
  }
  return slo;
}

double percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0;
  const double at = share * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(at);
  if (below + 1 >= sorted.size()) return sorted.back();
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[below + 1] - sorted[below]);
}

Spread spread(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  double sum = 0;
  for (const double value : values) sum += value;
  return {sum / static_cast<double>(values.size()),
          percentile(values, 0.5),
          percentile(values, 0.9),
          percentile(values, 0.95),
          percentile(values, 0.99),
          values.back()};
}

LoadPoint summarize(const std::vector<Outcome>& outcomes, const Slo& slo) {
  LoadPoint point;
  point.requests = outcomes.size();
  std::vector<double> ttft, itl, tpot, e2e;
  double begin = INFINITY, end = 0;
  size_t kept = 0;
  for (const Outcome& outcome : outcomes) {
    begin = std::min(begin, outcome.intended);
    end = std::max(end, outcome.end);
    point.events += outcome.events;
    point.worst_lateness = std::max(point.worst_lateness, outcome.sent - outcome.intended);
    if (outcome.failure != Failure::None) {
      const std::string kind =
          outcome.failure == Failure::Status ? "http " + std::to_string(outcome.status) : std::string(name_of(outcome.failure));
      point.failures[kind]++;
      point.failure_examples.emplace(kind, outcome.message);
      continue;
    }
    point.completed++;
    point.prompt_tokens += outcome.prompt_tokens;
    point.output_tokens += outcome.output_tokens;
    ttft.push_back(outcome.first - outcome.intended);
    e2e.push_back(outcome.end - outcome.intended);
    double sum = 0;
    for (const float gap : outcome.gaps) {
      sum += static_cast<double>(gap);
      itl.push_back(static_cast<double>(gap));
    }
    // By tokens, not by events: a server may send several tokens in one.
    if (outcome.output_tokens > 1) tpot.push_back(sum / static_cast<double>(outcome.output_tokens - 1));
    if (slo.any() && keeps(outcome, slo)) kept++;
  }
  point.seconds = outcomes.empty() ? 0 : end - begin;
  point.ttft = spread(std::move(ttft));
  point.itl = spread(std::move(itl));
  point.tpot = spread(std::move(tpot));
  point.e2e = spread(std::move(e2e));
  if (point.seconds > 0) {
    point.requests_per_second = static_cast<double>(point.completed) / point.seconds;
    point.output_tokens_per_second = static_cast<double>(point.output_tokens) / point.seconds;
    point.total_tokens_per_second = static_cast<double>(point.output_tokens + point.prompt_tokens) / point.seconds;
    point.goodput = static_cast<double>(kept) / point.seconds;
    point.goodput_share = static_cast<double>(kept) / static_cast<double>(outcomes.size());
  }
  return point;
}

}  // namespace infernum::load
