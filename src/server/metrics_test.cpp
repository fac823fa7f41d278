// The metrics and their text: values, forms, names; promtool reads it where it is installed.
#include "server/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include "core/check.h"
#include "server/server_metrics.h"

namespace infernum::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

struct Exposition {
  std::map<std::string, std::string> types;
  std::map<std::string, double> samples;  // by name and labels
};

/// Reads the text form, and holds it to its rules: HELP before TYPE before samples, families in one piece, no sample twice, cumulative
/// buckets ending in +Inf which equals the count.
Exposition parse(const std::string& text) {
  static const std::regex line_form(R"re(([a-z_:][a-z0-9_:]*)(\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+))re");
  Exposition out;
  std::string family, help, bucket_series;
  double bucket = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("# HELP ", 0) == 0) {
      help = line.substr(7, line.find(' ', 7) - 7);
      continue;
    }
    if (line.rfind("# TYPE ", 0) == 0) {
      family = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_EQ(family, help);
      EXPECT_TRUE(out.types.emplace(family, line.substr(8 + family.size())).second) << "twice: " << line;
      continue;
    }
    if (line == "# EOF") continue;
    std::smatch match;
    if (!std::regex_match(line, match, line_form)) {
      ADD_FAILURE() << "no sample: " << line;
      continue;
    }
    EXPECT_EQ(match[1].str().rfind(family, 0), 0u) << "outside its family: " << line;
    const double value = match[4] == "+Inf" ? INFINITY : std::stod(match[4]);
    EXPECT_TRUE(out.samples.emplace(match[1].str() + match[2].str(), value).second) << "twice: " << line;
    const std::string labels = match[3].str();
    const size_t le = labels.find("le=\"");
    if (match[1] == family + "_bucket") {
      const std::string series = labels.substr(0, le);
      if (series == bucket_series) {
        EXPECT_GE(value, bucket) << line;
      }
      bucket_series = series;
      bucket = value;
    } else if (match[1] == family + "_count") {
      EXPECT_EQ(value, bucket) << line;
      bucket_series = "none";
    }
  }
  return out;
}

TEST(Metrics, CountersAddUpAcrossThreads) {
  Counter counter;
  Histogram histogram({1, 2});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++)
    threads.emplace_back([&] {
      for (int i = 0; i < 10000; i++) counter.add(), histogram.observe(1.5);
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), 40000u);
  EXPECT_EQ(histogram.counts(), (std::vector<uint64_t>{0, 40000, 0}));
  EXPECT_DOUBLE_EQ(histogram.sum(), 60000);
}

TEST(Metrics, BoundsBelongToTheirBuckets) {
  Histogram histogram({0.1, 1, 10});
  for (const double value : {-1.0, 0.1, 0.100001, 1.0, 10.0, 10.1, double(INFINITY)}) histogram.observe(value);
  histogram.observe(NAN);
  EXPECT_EQ(histogram.counts(), (std::vector<uint64_t>{2, 2, 1, 2}));
}

TEST(Metrics, WhatIsCountedElsewhereIsShownAsItIs) {
  Histogram histogram({1, 2});
  histogram.observe(5);
  histogram.set(std::vector<uint64_t>{3, 0, 1}, 12);
  EXPECT_EQ(histogram.counts(), (std::vector<uint64_t>{3, 0, 1}));
  EXPECT_EQ(histogram.sum(), 12);
  EXPECT_THROW(histogram.set(std::vector<uint64_t>{3, 0}, 12), Error);
}

TEST(Metrics, LengthBucketsFollowTheContext) {
  EXPECT_EQ(one_two_five(100), (std::vector<double>{1, 2, 5, 10, 20, 50, 100}));
  EXPECT_EQ(one_two_five(99), (std::vector<double>{1, 2, 5, 10, 20, 50}));
  EXPECT_EQ(one_two_five(0), std::vector<double>{1});
  EXPECT_EQ(one_two_five(INT64_MAX).size(), 3u * 18 + 3);
}

TEST(Metrics, TextIsExact) {
  MetricRegistry registry;
  registry.counter({{"a_total"}, "Things.", {"kind"}}).with({"x\"y\\z\nw"}).add(3);
  registry.gauge({{"b"}, "Level."}).with().set(0.25);
  Histogram& histogram = registry.histogram({{"c"}, "Spread.", {"m"}}, {0.25, 1, 2000000}).with({"n"});
  histogram.observe(1);
  histogram.observe(3);
  registry.gauge({{"never"}, "Has no value yet.", {"label"}});
  EXPECT_EQ(
      registry.render(TextFormat::Prometheus),
      "# HELP a_total Things.\n# TYPE a_total counter\na_total{kind=\"x\\\"y\\\\z\\nw\"} 3\n"
      "# HELP b Level.\n# TYPE b gauge\nb 0.25\n"
      "# HELP c Spread.\n# TYPE c histogram\n"
      "c_bucket{m=\"n\",le=\"0.25\"} 0\nc_bucket{m=\"n\",le=\"1.0\"} 1\nc_bucket{m=\"n\",le=\"2e+06\"} 2\nc_bucket{m=\"n\",le=\"+Inf\"} 2\n"
      "c_count{m=\"n\"} 2\nc_sum{m=\"n\"} 4\n");
  const std::string open = registry.render(TextFormat::OpenMetrics);
  EXPECT_THAT(open, HasSubstr("# HELP a Things.\n# TYPE a counter\na_total{"));
  EXPECT_EQ(open.substr(open.size() - 6), "# EOF\n");
}

TEST(Metrics, NamesAreChecked) {
  MetricRegistry registry;
  registry.gauge({{"good:name_1"}, "x"});
  EXPECT_THROW(registry.gauge({{"good:name_1"}, "x"}), Error);
  EXPECT_THROW(registry.gauge({{"1st"}, "x"}), Error);
  EXPECT_THROW(registry.gauge({{"Bad name"}, "x"}), Error);
  EXPECT_THROW(registry.counter({{"not_a_sum"}, "x"}), Error);
  EXPECT_THROW(registry.gauge({{"labelled"}, "x", {"one"}}).with({"a", "b"}), Error);
  EXPECT_THROW(registry.histogram({{"falling"}, "x"}, {2, 1}).with(), Error);
}

TEST(Metrics, FormatFollowsAccept) {
  const auto open = TextFormat::OpenMetrics, plain = TextFormat::Prometheus;
  EXPECT_EQ(negotiate(""), plain);
  EXPECT_EQ(negotiate("*/*"), plain);
  EXPECT_EQ(negotiate("text/html, application/openmetrics-text;q=0"), plain);
  EXPECT_EQ(negotiate("application/openmetrics-text"), open);
  EXPECT_EQ(negotiate("text/plain, application/openmetrics-text; q=0.5"), plain);
  // What Prometheus 2.42 and 3 send.
  EXPECT_EQ(negotiate("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                      "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
            open);
  EXPECT_EQ(negotiate(";;;q=,,;q=x,application/openmetrics-text;q=zz"), open);
}

ServedEngine example_engine(EngineStats stats = {}) {
  ServedEngine engine;
  engine.model_name = "storyteller";
  engine.info.context = 1000;
  engine.info.max_sequences = 8;
  engine.info.cache_tokens = 64 * 16;
  engine.block_tokens = 16;
  stats.cache_blocks = 64;
  engine.stats = [stats] { return stats; };
  return engine;
}

RequestRecord example_record() {
  RequestRecord record;
  record.model = "storyteller";
  record.route = "/v1/chat/completions";
  record.prompt_tokens = 30;
  record.cached_tokens = 16;
  record.completion_tokens = record.longest_choice = 5;
  record.max_tokens = 5;
  record.finish_reason = "length";
  record.queue_seconds = 0.1;
  record.prefill_seconds = 0.3;
  record.decode_seconds = 0.4;
  record.seconds = 0.9;
  record.first_token_seconds = 0.45;
  record.token_gaps = {0.1F, 0.1F, 0.1F, 0.1F};
  return record;
}

constexpr const char* engine_labels = R"({model_name="storyteller",engine="0"})";

TEST(ServerMetrics, CountsARequestExactly) {
  ServerMetrics metrics(MetricNames::Vllm, "1.2.3");
  EngineStats stats;
  stats.running = 3;
  stats.waiting = 2;
  stats.cache_blocks_used = 16;
  stats.prompt_tokens = 42;
  stats.prefix_hits = 16;
  for (const int64_t tokens : {1, 2, 8, 9, 16384, 16385}) stats.step_tokens.add(tokens);
  metrics.add_engine(example_engine(stats));
  for (int i = 0; i < 2; i++) metrics.request(example_record());
  metrics.response("/v1/chat/completions", "POST", 200);
  metrics.response("", "BREW\"}", 405);
  metrics.rejected("queue_full");
  metrics.set_http([] {
    HttpStats totals;
    totals.connections = 1;
    totals.slow_readers = 4;
    return totals;
  });
  auto found = parse(metrics.text(TextFormat::Prometheus)).samples;
  const auto engine = [&](const std::string& name) {
    const auto sample = found.find("vllm:" + name + engine_labels);
    return sample == found.end() ? -1 : sample->second;
  };
  EXPECT_EQ(engine("num_requests_running"), 3);
  EXPECT_EQ(engine("num_requests_waiting"), 2);
  EXPECT_EQ(engine("kv_cache_usage_perc"), 0.25);
  EXPECT_EQ(engine("prompt_tokens_total"), 42);
  EXPECT_EQ(engine("prefix_cache_hits_total"), 16);
  EXPECT_EQ(engine("prompt_tokens_cached_total"), 32);
  EXPECT_EQ(engine("iteration_tokens_total_count"), 6);
  EXPECT_EQ(engine("iteration_tokens_total_sum"), 1 + 2 + 8 + 9 + 16384 + 16385);
  EXPECT_EQ(found.at(R"(vllm:iteration_tokens_total_bucket{model_name="storyteller",engine="0",le="8.0"})"), 3);
  EXPECT_EQ(found.at(R"(vllm:iteration_tokens_total_bucket{model_name="storyteller",engine="0",le="16384.0"})"), 5);
  EXPECT_EQ(engine("request_prompt_tokens_sum"), 60);
  EXPECT_EQ(engine("request_params_max_tokens_count"), 2);
  EXPECT_NEAR(engine("time_to_first_token_seconds_sum"), 0.9, 1e-9);
  EXPECT_EQ(engine("inter_token_latency_seconds_count"), 8);
  EXPECT_NEAR(engine("request_time_per_output_token_seconds_sum"), 0.2, 1e-9);
  EXPECT_NEAR(engine("request_inference_time_seconds_sum"), 1.4, 1e-9);
  EXPECT_EQ(found.at(R"(vllm:request_success_total{model_name="storyteller",engine="0",finished_reason="length"})"), 2);
  EXPECT_EQ(found.at(R"(vllm:request_success_total{model_name="storyteller",engine="0",finished_reason="error"})"), 0);
  EXPECT_EQ(found.at(R"(vllm:time_to_first_token_seconds_bucket{model_name="storyteller",engine="0",le="0.5"})"), 2);
  EXPECT_EQ(found.at(R"(vllm:cache_config_info{model_name="storyteller",engine="0",block_size="16",num_gpu_blocks="64",)"
                     R"(cache_dtype="auto",enable_prefix_caching="True"})"),
            1);
  EXPECT_EQ(found.at(R"(infernum_http_requests_total{route="/v1/chat/completions",method="POST",status="200"})"), 1);
  EXPECT_EQ(found.at(R"(infernum_http_requests_total{route="unknown",method="other",status="405"})"), 1);
  EXPECT_EQ(found.at(R"(infernum_rejected_total{reason="queue_full"})"), 1);
  EXPECT_EQ(found.at("infernum_http_connections"), 1);
  EXPECT_EQ(found.at("infernum_sse_backpressure_aborts_total"), 4);
  EXPECT_GT(found.at("process_resident_memory_bytes"), 1e6);
  EXPECT_GT(found.at("process_start_time_seconds"), 1.6e9);
  EXPECT_GT(found.at("process_open_fds"), 2);
}

TEST(ServerMetrics, NamesAreAsAskedFor) {
  const auto text_with = [](MetricNames names) {
    ServerMetrics metrics(names, "1");
    metrics.add_engine(example_engine());
    return metrics.text(TextFormat::Prometheus);
  };
  const std::string vllm = text_with(MetricNames::Vllm), own = text_with(MetricNames::Infernum), both = text_with(MetricNames::Both);
  EXPECT_THAT(vllm, AllOf(HasSubstr("vllm:num_requests_running{"), Not(HasSubstr("infernum_num_requests_running"))));
  EXPECT_THAT(own, AllOf(HasSubstr("infernum_num_requests_running{"), Not(HasSubstr("vllm:"))));
  EXPECT_THAT(own, AllOf(HasSubstr("infernum_iteration_tokens_bucket"), Not(HasSubstr("iteration_tokens_total"))));
  EXPECT_THAT(both, AllOf(HasSubstr("vllm:num_requests_running{"), HasSubstr("infernum_num_requests_running{")));
  parse(vllm), parse(own), parse(both);
}

TEST(ServerMetrics, SeveralEnginesAndNone) {
  ServerMetrics metrics(MetricNames::Vllm, "1");
  EXPECT_THAT(metrics.text(TextFormat::Prometheus), AllOf(HasSubstr("infernum_build_info"), Not(HasSubstr("vllm:"))));
  metrics.request(example_record());  // of a model that is not there: counts nowhere
  metrics.add_engine(example_engine());
  ServedEngine other = example_engine();
  other.model_name = "other";
  other.info.context = 10;
  EngineMetrics& second = metrics.add_engine(other);
  second.inter_token(0.02);
  const auto found = parse(metrics.text(TextFormat::Prometheus)).samples;
  EXPECT_EQ(found.at(R"(vllm:inter_token_latency_seconds_count{model_name="other",engine="0"})"), 1);
  EXPECT_EQ(found.at(R"(vllm:inter_token_latency_seconds_count{model_name="storyteller",engine="0"})"), 0);
  EXPECT_EQ(found.count(R"(vllm:request_prompt_tokens_bucket{model_name="other",engine="0",le="20.0"})"), 0u);
  EXPECT_EQ(found.count(R"(vllm:request_prompt_tokens_bucket{model_name="storyteller",engine="0",le="20.0"})"), 1u);
}

TEST(ServerMetrics, FrozenEnginesAreNotAsked) {
  ServerMetrics metrics(MetricNames::Vllm, "1");
  ServedEngine engine = example_engine();
  int64_t running = 7;
  engine.stats = [&running] {
    EngineStats stats;
    stats.running = running++;
    return stats;
  };
  metrics.add_engine(engine);
  metrics.freeze();
  const int64_t asked = running;
  const auto found = parse(metrics.text(TextFormat::Prometheus)).samples;
  EXPECT_EQ(running, asked);
  EXPECT_EQ(found.at(std::string("vllm:num_requests_running") + engine_labels), static_cast<double>(asked - 1));
}

TEST(ServerMetrics, ScrapesWhileRequestsEnd) {
  ServerMetrics metrics(MetricNames::Both, "1");
  EngineMetrics& engine = metrics.add_engine(example_engine());
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; t++)
    threads.emplace_back([&] {
      for (int i = 0; i < 500; i++)
        metrics.request(example_record()), metrics.response("/v1/completions", "POST", 200), engine.inter_token(0.1);
    });
  for (int i = 0; i < 5; i++) parse(metrics.text(i % 2 ? TextFormat::OpenMetrics : TextFormat::Prometheus));
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(parse(metrics.text(TextFormat::Prometheus)).samples.at(std::string("vllm:e2e_request_latency_seconds_count") + engine_labels),
            1000);
}

/// docs/metrics.md lists what there is, and only that.
TEST(ServerMetrics, TheirPageListsThemAll) {
  ServerMetrics metrics(MetricNames::Vllm, "1");
  metrics.add_engine(example_engine());
  metrics.request(example_record());
  metrics.response("/health", "GET", 200);
  metrics.rejected("draining");
  RequestRecord preempted = example_record();
  preempted.preemptions = 1;
  metrics.request(preempted);
  std::set<std::string> served, listed;
  for (const auto& [name, type] : parse(metrics.text(TextFormat::Prometheus)).types) served.insert(name);
  std::ifstream page("docs/metrics.md");
  const std::regex row("^\\| `([a-z_:0-9]+)` .*");
  std::smatch match;
  for (std::string line; std::getline(page, line);)
    if (std::regex_match(line, match, row)) listed.insert(match[1]);
  EXPECT_THAT(listed, ::testing::ContainerEq(served));
}

class FakeExchange : public Exchange {
 public:
  const HttpRequest& request() const override { return asked; }
  void respond(HttpResponse response) override { given = std::move(response); }
  void begin_stream(HeaderFields) override {}
  void send(std::string_view) override {}
  void finish() override {}
  void on_gone(std::function<void()>) override {}
  void note(std::string_view, std::string) override {}
  HttpRequest asked;
  HttpResponse given;
};

TEST(ServerMetrics, AnswersScrapesInTheFormAskedFor) {
  ServerMetrics metrics(MetricNames::Vllm, "1");
  auto exchange = std::make_shared<FakeExchange>();
  metrics.handler()(exchange);
  EXPECT_EQ(exchange->given.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(exchange->given.body, HasSubstr("infernum_build_info"));
  exchange->asked.headers = {{"accept", "text/html"}, {"accept", "application/openmetrics-text;version=1.0.0"}};
  metrics.handler()(exchange);
  EXPECT_EQ(exchange->given.content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
  EXPECT_THAT(exchange->given.body, HasSubstr("# EOF"));
}

/// What promtool says of the text, one complaint per line; nothing where it is not installed.
std::optional<std::set<std::string>> promtool(const std::string& text, const std::string& name) {
  if (std::system("command -v promtool >/dev/null 2>&1") != 0) {
    std::printf("not run: promtool (package prometheus) is not installed\n");
    return std::nullopt;
  }
  const std::string file = std::string(INFERNUM_BINARY_DIR) + "/" + name;
  std::ofstream(file) << text;
  std::set<std::string> complaints;
  FILE* pipe = popen(("promtool check metrics <'" + file + "' 2>&1").c_str(), "r");
  char line[1024];
  while (pipe && std::fgets(line, sizeof line, pipe)) complaints.insert(line);
  pclose(pipe);
  return complaints;
}

TEST(ServerMetrics, PromtoolFindsNoFaultOfOurs) {
  for (const auto names : {MetricNames::Infernum, MetricNames::Vllm}) {
    ServerMetrics metrics(names, "1");
    metrics.add_engine(example_engine());
    metrics.request(example_record());
    metrics.response("/health", "GET", 200);
    metrics.rejected("draining");
    const auto complaints = promtool(metrics.text(TextFormat::Prometheus), names == MetricNames::Vllm ? "vllm.prom" : "infernum.prom");
    if (!complaints) return;
    for (const std::string& complaint : *complaints)
      // vLLM's names have a colon, and one histogram ends in _total.
      EXPECT_TRUE(names == MetricNames::Vllm && complaint.rfind("vllm:", 0) == 0) << complaint;
  }
}

}  // namespace
}  // namespace infernum::server
