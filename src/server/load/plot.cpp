// Plots of a load test: small panels of latency and throughput against load, as SVG that follows the reader's light or dark.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>

#include "server/load/report.h"

namespace infernum::load {
namespace {

constexpr double panel_width = 430, panel_height = 270, left_margin = 62, top_margin = 58, plot_width = 340, plot_height = 160;

struct Series {
  std::string name;
  std::function<double(const LoadPoint&)> value;
};

struct Panel {
  std::string title, unit;
  std::vector<Series> series;
};

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value < 1e4 ? "%.4g" : "%.0f", value);
  return text;
}

/// Position of a point of the drawing; tenths of a pixel are enough.
std::string place(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  return out;
}

/// A step of 1, 2 or 5 times a power of ten that divides `range` into about `parts`.
double nice_step(double range, int parts) {
  const double rough = range / parts, power = std::pow(10, std::floor(std::log10(rough)));
  for (const double digit : {1, 2, 5})
    if (rough <= digit * power) return digit * power;
  return 10 * power;
}

/// From values to pixels; logarithmic where the values span much.
struct Axis {
  double low, high;
  bool log;
  std::vector<double> ticks;

  Axis(double smallest, double largest, double much) : log(smallest > 0 && largest / smallest > much) {
    if (log) {
      low = smallest / 1.15, high = largest * 1.15;
      for (double power = std::pow(10, std::floor(std::log10(low))); power <= high; power *= 10)
        for (const double digit : {1, 2, 5})
          if (digit * power >= low && digit * power <= high) ticks.push_back(digit * power);
      while (ticks.size() > 8) {
        for (size_t i = 1; i < ticks.size(); i++) ticks.erase(ticks.begin() + static_cast<std::ptrdiff_t>(i));
      }
    } else {
      const double step = nice_step(largest, 5);
      low = 0, high = step * std::ceil(largest / step * 0.9999);
      for (int i = 0; step * i <= high * 1.0001; i++) ticks.push_back(step * i);
    }
  }
  /// 0 to 1.
  double share(double value) const {
    return log ? std::log(std::max(value, low) / low) / std::log(high / low) : (value - low) / (high - low);
  }
};

double load_of(const LoadPoint& point) { return point.rate > 0 ? point.rate : point.concurrency; }

std::vector<Panel> panels_of(const Report& report) {
  const auto latency = [](std::string title, Spread LoadPoint::*of) {
    return Panel{std::move(title),
                 "ms",
                 {{"p50", [of](const LoadPoint& p) { return (p.*of).p50 * 1e3; }},
                  {"p95", [of](const LoadPoint& p) { return (p.*of).p95 * 1e3; }},
                  {"p99", [of](const LoadPoint& p) { return (p.*of).p99 * 1e3; }}}};
  };
  std::vector<Panel> panels{latency("Time to first token", &LoadPoint::ttft), latency("Between tokens", &LoadPoint::itl),
                            latency("End to end", &LoadPoint::e2e)};
  Panel throughput{"Throughput", "requests/s", {{"completed", [](const LoadPoint& p) { return p.requests_per_second; }}}};
  if (report.slo.any()) throughput.series.push_back({"within the SLO", [](const LoadPoint& p) { return p.goodput; }});
  panels.push_back(std::move(throughput));
  panels.push_back({"Tokens", "tokens/s", {{"generated", [](const LoadPoint& p) { return p.output_tokens_per_second; }}}});
  panels.push_back({"Failed requests", "%", {{"failed", [](const LoadPoint& p) {
                                                return p.requests ? 100 * static_cast<double>(p.requests - p.completed) /
                                                                        static_cast<double>(p.requests)
                                                                  : 0;
                                              }}}});
  return panels;
}

void draw_axes(std::string& out, const Axis& x, const Axis& y, const std::string& load_name) {
  const auto text = [&](double at_x, double at_y, const char* anchor, const std::string& words) {
    out += "<text x=\"" + place(at_x) + "\" y=\"" + place(at_y) + "\" text-anchor=\"" + anchor + "\">" + escaped(words) + "</text>\n";
  };
  for (const double tick : y.ticks) {
    const double at = top_margin + plot_height * (1 - y.share(tick));
    out += "<path class=\"grid\" d=\"M" + place(left_margin) + ' ' + place(at) + "h" + place(plot_width) + "\"/>\n";
    text(left_margin - 6, at + 4, "end", number(tick));
  }
  for (const double tick : x.ticks) {
    const double at = left_margin + plot_width * x.share(tick);
    out += "<path class=\"axis\" d=\"M" + place(at) + ' ' + place(top_margin + plot_height) + "v4\"/>\n";
    text(at, top_margin + plot_height + 18, "middle", number(tick));
  }
  out += "<path class=\"axis\" d=\"M" + place(left_margin) + ' ' + place(top_margin + plot_height) + "h" + place(plot_width) + "\"/>\n";
  text(left_margin + plot_width / 2, top_margin + plot_height + 36, "middle", load_name);
}

void draw_panel(std::string& out, const Report& report, const Panel& panel, double left, double top) {
  double smallest = INFINITY, largest = 0, least_load = INFINITY, most_load = 0;
  for (const LoadPoint& point : report.points) {
    least_load = std::min(least_load, load_of(point)), most_load = std::max(most_load, load_of(point));
    for (const Series& series : panel.series) {
      smallest = std::min(smallest, series.value(point)), largest = std::max(largest, series.value(point));
    }
  }
  if (!(largest > 0)) largest = panel.unit == "%" ? 100 : 1;
  const Axis x(least_load, most_load, 12), y(smallest, largest, 60);
  out += "<g transform=\"translate(" + place(left) + ' ' + place(top) + ")\">\n";
  out += "<text class=\"title\" x=\"" + place(left_margin) + "\" y=\"22\">" + escaped(panel.title) + " <tspan class=\"unit\">" +
         panel.unit + "</tspan></text>\n";
  draw_axes(out, x, y, !report.points.empty() && report.points[0].rate > 0 ? "requests/s sent" : "requests at once");
  double legend = left_margin;
  for (size_t s = 0; s < panel.series.size(); s++) {
    const Series& series = panel.series[s];
    const std::string style = "s" + std::to_string(s);
    std::string path, marks;
    for (const LoadPoint& point : report.points) {
      const std::string at_x = place(left_margin + plot_width * x.share(load_of(point)));
      const std::string at_y = place(top_margin + plot_height * (1 - y.share(series.value(point))));
      path += (path.empty() ? "M" : "L") + at_x + ' ' + at_y;
      marks += "<circle class=\"mark " + style + "\" cx=\"" + at_x + "\" cy=\"" + at_y + "\" r=\"3\"><title>" + escaped(series.name) +
               " at " + number(load_of(point)) + ": " + number(series.value(point)) + ' ' + panel.unit + "</title></circle>\n";
    }
    if (!path.empty()) out += "<path class=\"line " + style + "\" d=\"" + path + "\"/>\n" + marks;
    if (panel.series.size() < 2) continue;
    out += "<path class=\"line " + style + "\" d=\"M" + place(legend) + " 40h18\"/><text x=\"" + place(legend + 23) + "\" y=\"44\">" +
           escaped(series.name) + "</text>\n";
    legend += 40 + 7.5 * static_cast<double>(series.name.size());
  }
  out += "</g>\n";
}

/// Colours that the colour-blind can tell apart (Okabe and Ito), and dashes besides.
constexpr const char* style_sheet = R"(svg{--paper:#fff;--ink:#1f2328;--soft:#59636e;--grid:#e4e7eb;--s0:#0072b2;--s1:#d55e00;--s2:#009e73}
@media(prefers-color-scheme:dark){svg{--paper:#15181c;--ink:#e6e9ed;--soft:#9aa4af;--grid:#2c323a;--s0:#56b4e9;--s1:#e69f00;--s2:#2fc79a}}
text{font:12px system-ui,sans-serif;fill:var(--soft)}.title{font-size:14px;font-weight:600;fill:var(--ink)}.unit{font-weight:400;fill:var(--soft)}
.head{font-size:16px;font-weight:600;fill:var(--ink)}.paper{fill:var(--paper)}.grid{stroke:var(--grid)}.axis{stroke:var(--soft)}
.line{fill:none;stroke-width:2}.s0{stroke:var(--s0)}.s1{stroke:var(--s1);stroke-dasharray:6 3}.s2{stroke:var(--s2);stroke-dasharray:2 3}
.mark{fill:var(--paper);stroke-width:2;stroke-dasharray:none})";

std::string table_html(const Report& report) {
  std::string out =
      "<table>\n<tr><th>load<th>requests<th>failed<th>req/s<th>tokens/s<th>TTFT p50<th>p95<th>p99<th>ITL p50<th>p95<th>p99"
      "<th>E2E p50<th>p95<th>p99</tr>\n";
  for (const LoadPoint& p : report.points) {
    out += "<tr><td>" + number(load_of(p)) + (p.rate > 0 ? " req/s" : " at once");
    for (const double value : {static_cast<double>(p.requests), static_cast<double>(p.requests - p.completed), p.requests_per_second,
                               p.output_tokens_per_second, p.ttft.p50 * 1e3, p.ttft.p95 * 1e3, p.ttft.p99 * 1e3, p.itl.p50 * 1e3,
                               p.itl.p95 * 1e3, p.itl.p99 * 1e3, p.e2e.p50 * 1e3, p.e2e.p95 * 1e3, p.e2e.p99 * 1e3})
      out += "<td>" + number(value);
    out += "</tr>\n";
  }
  return out + "</table>\n";
}

}  // namespace

std::string report_svg(const Report& report) {
  const std::vector<Panel> panels = panels_of(report);
  const double width = 3 * panel_width, height = 50 + 2 * panel_height;
  std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + place(width) + ' ' + place(height) +
                    "\" role=\"img\">\n<style>" + style_sheet + "</style>\n<title>" + escaped(report.title) +
                    "</title>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n" + "<text class=\"head\" x=\"" +
                    place(left_margin) + "\" y=\"30\">" + escaped(report.title) + "</text>\n";
  for (size_t i = 0; i < panels.size(); i++) {
    const size_t row = i / 3, column = i % 3;
    draw_panel(out, report, panels[i], panel_width * static_cast<double>(column), 50 + panel_height * static_cast<double>(row));
  }
  return out + "</svg>\n";
}

std::string report_html(const Report& report) {
  return "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>" +
         escaped(report.title) +
         "</title>\n<style>:root{color-scheme:light dark}body{font:14px system-ui,sans-serif;margin:1.5em auto;max-width:1300px;padding:0 "
         "1em;"
         "background:light-dark(#fff,#15181c)}"
         "svg{max-width:100%;height:auto}div{overflow-x:auto}table{border-collapse:collapse}td,th{padding:.3em .7em;text-align:right;"
         "border-bottom:1px solid #8884}</style>\n" +
         report_svg(report) + "<p>" + escaped(report.url + report.endpoint) + ", input " + escaped(report.input_len) + ", output " +
         escaped(report.output_len) + ", seed " + std::to_string(report.seed) +
         "; times in ms, counted from when a request was to be sent.</p>\n<div>" + table_html(report) + "</div>\n</html>\n";
}

}  // namespace infernum::load
