// Report of a load test: a table for the terminal, JSON, and plots of latency against load as SVG or a page of HTML.
#pragma once
#include <string>
#include <vector>

#include "server/load/summary.h"

namespace infernum::load {

struct Report {
  std::string title;  ///< what was measured: model, endpoint, lengths
  std::string url, endpoint, model, version;
  std::string input_len, output_len;
  uint64_t seed = 0;
  Slo slo;
  std::vector<LoadPoint> points;  ///< ascending in load; all open loop or all closed
};

/// The head of the table, and a line (or several, where requests failed) per point.
std::string table_head(const Report& report);
std::string table_row(const Report& report, const LoadPoint& point);

std::string report_json(const Report& report);

/// With its own style, for light and dark.
std::string report_svg(const Report& report);
/// The same with a table, as a page that needs nothing else.
std::string report_html(const Report& report);

}  // namespace infernum::load
