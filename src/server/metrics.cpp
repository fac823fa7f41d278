#include "server/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <thread>

#include "core/check.h"

namespace infernum::server {
namespace {

void append(std::string& out, uint64_t value) {
  char text[24];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

void append(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    char text[32];
    out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
  }
}

/// A bound as Python's client writes it (1.0, 0.25, 1e+06): bucket labels of other servers of the same name must be equal strings.
std::string bound_text(double bound) {
  char text[64];
  const auto format = bound >= 1e6 ? std::chars_format::scientific : std::chars_format::fixed;
  std::string out(text, std::to_chars(text, text + sizeof text, bound, format).ptr);
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out;
}

void check_name(const std::string& name, bool colon) {
  const auto good = [&](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || (colon && c == ':'); };
  check(!name.empty() && std::all_of(name.begin(), name.end(), good) && !(name[0] >= '0' && name[0] <= '9'),
        "metrics: a name is made of a-z, 0-9 and _, not beginning with a digit:", name);
}

void sample(std::string& out, const std::string& name, std::string_view suffix, const std::string& labels) {
  out += name;
  out += suffix;
  if (!labels.empty()) ((out += '{') += labels) += '}';
  out += ' ';
}

void render_metric(std::string& out, const std::string& name, const std::string& labels, const Counter& counter) {
  sample(out, name, "", labels);
  append(out, counter.value());
  out += '\n';
}

void render_metric(std::string& out, const std::string& name, const std::string& labels, const Gauge& gauge) {
  sample(out, name, "", labels);
  append(out, gauge.value());
  out += '\n';
}

void render_metric(std::string& out, const std::string& name, const std::string& labels, const Histogram& histogram) {
  const std::vector<uint64_t> counts = histogram.counts();
  const std::string comma = labels.empty() ? "" : ",";
  uint64_t below = 0;
  for (size_t i = 0; i < counts.size(); i++) {
    below += counts[i];
    const bool last = i == histogram.bounds().size();
    sample(out, name, "_bucket", labels + comma + "le=\"" + (last ? "+Inf" : bound_text(histogram.bounds()[i])) + '"');
    append(out, below);
    out += '\n';
  }
  // Of the same reading as the buckets: the count must equal the last of them.
  sample(out, name, "_count", labels);
  append(out, below);
  out += '\n';
  sample(out, name, "_sum", labels);
  append(out, histogram.sum());
  out += '\n';
}

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// The part before `separator`; `rest` keeps what is behind it.
std::string_view cut(std::string_view& rest, char separator) {
  const size_t at = rest.find(separator);
  const std::string_view part = rest.substr(0, at);
  rest = at == std::string_view::npos ? std::string_view() : rest.substr(at + 1);
  return trimmed(part);
}

}  // namespace

void Counter::add(uint64_t n) {
  const size_t shard = std::hash<std::thread::id>{}(std::this_thread::get_id()) % shards_.size();
  shards_[shard].count.fetch_add(n, std::memory_order_relaxed);
}

uint64_t Counter::value() const {
  uint64_t sum = 0;
  for (const Shard& shard : shards_) sum += shard.count.load(std::memory_order_relaxed);
  return sum;
}

Histogram::Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)) {
  check(!bounds_.empty() && std::is_sorted(bounds_.begin(), bounds_.end()), "metrics: a histogram needs ascending bounds:", bounds_.size());
  counts_ = std::make_unique<std::atomic<uint64_t>[]>(bounds_.size() + 1);
}

void Histogram::observe(double value) {
  if (std::isnan(value)) return;
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  counts_[static_cast<size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_.add(value);
}

void Histogram::set(std::span<const uint64_t> counts, double sum) {
  check(counts.size() == bounds_.size() + 1, "metrics: one count per bucket:", counts.size(), "for", bounds_.size() + 1);
  for (size_t i = 0; i < counts.size(); i++) counts_[i].store(counts[i], std::memory_order_relaxed);
  sum_.set(sum);
}

std::vector<uint64_t> Histogram::counts() const {
  std::vector<uint64_t> counts(bounds_.size() + 1);
  for (size_t i = 0; i < counts.size(); i++) counts[i] = counts_[i].load(std::memory_order_relaxed);
  return counts;
}

std::vector<double> one_two_five(int64_t most) {
  std::vector<double> bounds;
  for (double power = 1; power <= 1e18; power *= 10)
    for (const double digit : {1, 2, 5})
      if (digit * power <= static_cast<double>(most)) bounds.push_back(digit * power);
  if (bounds.empty()) bounds.push_back(1);
  return bounds;
}

TextFormat negotiate(std::string_view accept) {
  double open = 0, plain = 0;
  while (!accept.empty()) {
    std::string_view parameters = cut(accept, ',');
    const std::string_view type = cut(parameters, ';');
    double quality = 1;
    while (!parameters.empty()) {
      const std::string_view parameter = cut(parameters, ';');
      if (parameter.substr(0, 2) == "q=") std::from_chars(parameter.data() + 2, parameter.data() + parameter.size(), quality);
    }
    if (type == "application/openmetrics-text") open = std::max(open, quality);
    if (type == "text/plain") plain = std::max(plain, quality);
  }
  return open > 0 && open >= plain ? TextFormat::OpenMetrics : TextFormat::Prometheus;
}

std::string_view content_type(TextFormat format) {
  return format == TextFormat::OpenMetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                           : "text/plain; version=0.0.4; charset=utf-8";
}

AnyFamily::AnyFamily(FamilyText text) : text_(std::move(text)) {
  check(!text_.names.empty(), "metrics: a family needs a name; its help is", text_.help);
  for (const std::string& name : text_.names) check_name(name, true);
  for (const std::string& label : text_.labels) check_name(label, false);
}

std::string AnyFamily::label_text(const std::vector<std::string>& values) const {
  check(values.size() == text_.labels.size(), "metrics: one value per label:", text_.names[0], values.size(), "for", text_.labels.size());
  std::string out;
  for (size_t i = 0; i < values.size(); i++) out += (i ? "," : "") + text_.labels[i] + "=\"" + escaped(values[i]) + '"';
  return out;
}

void AnyFamily::render(std::string& out, TextFormat format) const {
  for (const std::string& name : text_.names) {
    // OpenMetrics names a counter's family without the suffix of its sample.
    const bool bare = format == TextFormat::OpenMetrics && type() == "counter" && ends_with(name, "_total");
    const std::string family = bare ? name.substr(0, name.size() - 6) : name;
    std::string children;
    render_children(children, name);
    if (children.empty()) continue;
    out += "# HELP " + family + ' ' + text_.help + "\n# TYPE " + family + ' ';
    out += type();
    out += '\n';
    out += children;
  }
}

template <class Metric>
Metric& Family<Metric>::with(const std::vector<std::string>& values, const std::vector<double>& bounds) {
  const std::string labels = label_text(values);
  std::lock_guard lock(mutex_);
  std::unique_ptr<Metric>& child = children_[labels];
  if (!child) {
    if constexpr (std::is_same_v<Metric, Histogram>)
      child = std::make_unique<Metric>(bounds.empty() ? bounds_ : bounds);
    else
      child = std::make_unique<Metric>();
  }
  return *child;
}

template <class Metric>
std::string_view Family<Metric>::type() const {
  if constexpr (std::is_same_v<Metric, Histogram>) return "histogram";
  return std::is_same_v<Metric, Gauge> ? "gauge" : "counter";
}

template <class Metric>
void Family<Metric>::render_children(std::string& out, const std::string& name) const {
  std::lock_guard lock(mutex_);
  for (const auto& [labels, metric] : children_) render_metric(out, name, labels, *metric);
}

template class Family<Counter>;
template class Family<Total>;
template class Family<Gauge>;
template class Family<Histogram>;

template <class Metric>
Family<Metric>& MetricRegistry::make(FamilyText text, std::vector<double> bounds) {
  std::lock_guard lock(mutex_);
  for (const auto& family : families_)
    for (const std::string& name : family->text().names)
      check(std::find(text.names.begin(), text.names.end(), name) == text.names.end(), "metrics: two families of one name:", name);
  if constexpr (std::is_same_v<Metric, Counter> || std::is_same_v<Metric, Total>)
    for (const std::string& name : text.names) check(ends_with(name, "_total"), "metrics: a counter's name ends in _total:", name);
  auto family = std::make_unique<Family<Metric>>(std::move(text), std::move(bounds));
  Family<Metric>& made = *family;
  families_.push_back(std::move(family));
  return made;
}

template Family<Counter>& MetricRegistry::make(FamilyText, std::vector<double>);
template Family<Total>& MetricRegistry::make(FamilyText, std::vector<double>);
template Family<Gauge>& MetricRegistry::make(FamilyText, std::vector<double>);
template Family<Histogram>& MetricRegistry::make(FamilyText, std::vector<double>);

std::string MetricRegistry::render(TextFormat format) const {
  std::lock_guard lock(mutex_);
  std::string out;
  for (const auto& family : families_) family->render(out, format);
  if (format == TextFormat::OpenMetrics) out += "# EOF\n";
  return out;
}

}  // namespace infernum::server
