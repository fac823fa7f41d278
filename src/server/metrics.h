// Metrics: counters, gauges and histograms by family and label values, and their text as Prometheus reads it.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace infernum::server {

/// Only grows. Threads add to shards of their own, so that none waits for another's cache line.
class Counter {
 public:
  void add(uint64_t n = 1);
  uint64_t value() const;

 private:
  struct alignas(64) Shard {
    std::atomic<uint64_t> count{0};
  };
  std::array<Shard, 4> shards_;
};

/// A value that goes up and down.
class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double delta) { value_.fetch_add(delta, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

/// A total that is counted elsewhere and copied here at each scrape.
class Total : public Gauge {};

/// How often values fell into (bounds[i - 1], bounds[i]]; the last bucket has no upper bound.
class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds);  // ascending
  void observe(double value);                      ///< NaN counts for nothing
  /// What was counted elsewhere, in these bounds, in place of what is here.
  void set(std::span<const uint64_t> counts, double sum);
  const std::vector<double>& bounds() const { return bounds_; }
  std::vector<uint64_t> counts() const;  ///< one more than bounds; not cumulative
  double sum() const { return sum_.value(); }

 private:
  std::vector<double> bounds_;
  std::unique_ptr<std::atomic<uint64_t>[]> counts_;
  Gauge sum_;
};

/// 1, 2, 5, 10, 20, 50 ... up to `most`.
std::vector<double> one_two_five(int64_t most);

struct FamilyText {
  std::vector<std::string> names;  ///< shown under each; a counter's end in _total
  std::string help;
  std::vector<std::string> labels = {};
};

enum class TextFormat { Prometheus, OpenMetrics };

/// What a client that sends this Accept header is to be given.
TextFormat negotiate(std::string_view accept);
std::string_view content_type(TextFormat format);

class AnyFamily {
 public:
  explicit AnyFamily(FamilyText text);
  virtual ~AnyFamily() = default;
  void render(std::string& out, TextFormat format) const;
  const FamilyText& text() const { return text_; }

 protected:
  virtual std::string_view type() const = 0;
  virtual void render_children(std::string& out, const std::string& name) const = 0;
  /// {a="x",b="y"} without the braces.
  std::string label_text(const std::vector<std::string>& values) const;

 private:
  FamilyText text_;
};

/// The metrics of one name, by the values of its labels. Values must come from closed sets: what a client sends is none.
template <class Metric>
class Family : public AnyFamily {
 public:
  Family(FamilyText text, std::vector<double> bounds) : AnyFamily(std::move(text)), bounds_(std::move(bounds)) {}
  /// Made at the first call; the reference lasts as long as the family, so that hot paths look it up once. `bounds` of a histogram where
  /// they differ from the family's.
  Metric& with(const std::vector<std::string>& values = {}, const std::vector<double>& bounds = {});

 protected:
  std::string_view type() const override;
  void render_children(std::string& out, const std::string& name) const override;

 private:
  std::vector<double> bounds_;
  mutable std::mutex mutex_;  // of the map; the metrics themselves take none
  std::map<std::string, std::unique_ptr<Metric>> children_;
};

/// Families in the order of their making. Making and rendering may happen in different threads.
class MetricRegistry {
 public:
  Family<Counter>& counter(FamilyText text) { return make<Counter>(std::move(text)); }
  Family<Total>& total(FamilyText text) { return make<Total>(std::move(text)); }
  Family<Gauge>& gauge(FamilyText text) { return make<Gauge>(std::move(text)); }
  Family<Histogram>& histogram(FamilyText text, std::vector<double> bounds) { return make<Histogram>(std::move(text), std::move(bounds)); }
  std::string render(TextFormat format) const;

 private:
  template <class Metric>
  Family<Metric>& make(FamilyText text, std::vector<double> bounds = {});
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<AnyFamily>> families_;
};

}  // namespace infernum::server
