// The parts of the load client: reading answers in any pieces, schedules, workloads, figures, plots.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "server/load/chunk_parser.h"
#include "server/load/report.h"
#include "server/load/response_reader.h"
#include "server/load/sse_reader.h"
#include "server/load/workload.h"

namespace infernum::load {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

/// Body of `text` read in pieces of `size` bytes; what was not taken is appended to `rest`.
std::string read_in_pieces(ResponseReader& reader, const std::string& text, size_t size, std::string* rest = nullptr) {
  std::string body;
  for (size_t at = 0; at < text.size(); at += size) {
    const std::string piece = text.substr(at, size);
    const size_t taken = reader.feed(piece, [&](std::string_view part) { body += part; });
    if (rest) *rest += piece.substr(taken);
  }
  return body;
}

TEST(ResponseReader, ReadsEveryFormInAnyPieces) {
  const std::string sized = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello";
  const std::string chunked =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Too Many\r\ntransfer-encoding: Chunked\r\nConnection: close\r\n\r\n"
      "5;x=y\r\nhello\r\n0a\r\n, and more\r\n0\r\nTrailer: 1\r\n\r\n";
  for (size_t size = 1; size <= chunked.size(); size++) {
    ResponseReader reader;
    std::string rest;
    EXPECT_EQ(read_in_pieces(reader, sized + "next", size, &rest), "hello");
    EXPECT_TRUE(reader.done() && reader.keep_alive && reader.event_stream);
    EXPECT_EQ(rest, "next");
    reader.reset();
    EXPECT_EQ(read_in_pieces(reader, chunked, size), "hello, and more");
    EXPECT_TRUE(reader.done() && !reader.keep_alive && !reader.event_stream);
    EXPECT_EQ(reader.status, 429);
    reader.reset();
    EXPECT_EQ(read_in_pieces(reader, "HTTP/1.0 200 OK\n\nuntil the end", size), "until the end");
    EXPECT_FALSE(reader.done());
    EXPECT_TRUE(reader.closed() && !reader.keep_alive);
  }
}

TEST(ResponseReader, RefusesWhatIsNoHttp) {
  for (const std::string& text :
       {std::string("SSH-2.0-OpenSSH_9.2\r\n"), std::string("HTTP/1.1 2x0 OK\r\n"), "HTTP/1.1 200\r\nx: " + std::string(70000, 'a'),
        std::string("HTTP/1.1 200 OK\r\nno colon\r\n"), std::string("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n"),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n"),
        std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n"),
        std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n")}) {
    ResponseReader reader;
    EXPECT_THROW(read_in_pieces(reader, text, 7), Error) << text.substr(0, 60);
  }
  ResponseReader cut;
  read_in_pieces(cut, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", 100);
  EXPECT_FALSE(cut.closed());
}

TEST(SseReader, ReadsEventsInAnyPieces) {
  const std::string text =
      ": ping\n\ndata: {\"a\":1}\n\nevent: x\r\ndata:two\r\ndata: lines\r\n\r\nid: 7\n\ndata\n\ndata: \xE2\x82\xAC\r\rdatax: no\n\ndata: "
      "[DONE]\n\ndata: open";
  for (size_t size = 1; size <= text.size(); size++) {
    SseReader reader;
    std::vector<std::string> events;
    for (size_t at = 0; at < text.size(); at += size)
      reader.feed(text.substr(at, size), [&](std::string_view data) { events.emplace_back(data); });
    EXPECT_THAT(events, ElementsAre("{\"a\":1}", "two\nlines", "", "\xE2\x82\xAC", "[DONE]")) << "pieces of " << size;
    EXPECT_TRUE(reader.inside());
  }
}

TEST(SseReader, BoundsAnEvent) {
  SseReader reader;
  const std::string mebibyte(1 << 20, 'x');
  EXPECT_THROW(for (int i = 0; i < 20; i++) reader.feed(mebibyte, [](std::string_view) {}), Error);
}

TEST(ChunkParser, TellsWhatAChunkIs) {
  ChunkParser parser;
  Chunk chunk = parser.parse(R"({"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]})");
  EXPECT_TRUE(chunk.choices && !chunk.content && !chunk.finished);
  EXPECT_TRUE(parser.parse(R"({"choices":[{"delta":{"content":"a"},"finish_reason":null}]})").content);
  EXPECT_TRUE(parser.parse(R"({"choices":[{"delta":{"reasoning_content":"a"}}]})").content);
  EXPECT_TRUE(parser.parse(R"({"choices":[{"delta":{"tool_calls":[{"index":0}]}}]})").content);
  EXPECT_TRUE(parser.parse(R"({"choices":[{"text":"a","finish_reason":"stop"}]})").finished);
  EXPECT_TRUE(parser.parse("[DONE]").finished);
  chunk = parser.parse(R"({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9}})");
  EXPECT_FALSE(chunk.choices);
  EXPECT_EQ(chunk.prompt_tokens.value_or(0), 3);
  EXPECT_EQ(chunk.output_tokens.value_or(0), 9);
  EXPECT_EQ(parser.parse(R"({"error":{"message":"too much"}})").error.value_or(""), "too much");
  EXPECT_FALSE(parser.parse(R"({"error":null,"choices":[]})").error);
  for (const char* bad : {"", "[1]", "{", "nonsense", "{\"a\":\"\xff\"}"}) EXPECT_THROW(parser.parse(bad), Error) << bad;
}

TEST(LoadTarget, UrlsAreRead) {
  const Target plain = parse_url("http://127.0.0.1:8000/"), path = parse_url("localhost/api/v2/"), six = parse_url("http://[::1]:81");
  EXPECT_EQ(plain.host + "|" + plain.port + "|" + plain.path, "127.0.0.1|8000|");
  EXPECT_EQ(path.host + "|" + path.port + "|" + path.path, "localhost|80|/api/v2");
  EXPECT_EQ(six.host + "|" + six.port, "::1|81");
  for (const char* bad :
       {"https://x", "ftp://x", "", "http://", "http://x:0", "http://x:70000", "http://x:8a", "http://[::1", "http://x/a b"})
    EXPECT_THROW(parse_url(bad), Error) << bad;
  EXPECT_THAT(http_request(six, "/v1/completions", "key", "{}"),
              testing::AllOf(HasSubstr("POST /v1/completions HTTP/1.1\r\nHost: [::1]:81\r\n"), HasSubstr("Bearer key\r\n"),
                             HasSubstr("Length: 2\r\n\r\n{}")));
  EXPECT_THROW(http_request(six, "/", "a\r\nb: c", "{}"), Error);
}

TEST(LoadSchedule, PoissonArrivals) {
  const std::vector<double> arrivals = poisson_arrivals(50, 20001, 7);
  EXPECT_EQ(arrivals, poisson_arrivals(50, 20001, 7));
  EXPECT_NE(arrivals, poisson_arrivals(50, 20001, 8));
  double sum = 0, squares = 0;
  int shorter = 0;
  for (size_t i = 1; i < arrivals.size(); i++) {
    const double gap = arrivals[i] - arrivals[i - 1];
    ASSERT_GE(gap, 0);
    sum += gap, squares += gap * gap, shorter += gap < 0.02;
  }
  const double mean = sum / 20000;
  EXPECT_NEAR(mean, 0.02, 0.0006);                                     // of 20000 samples: 4 standard errors
  EXPECT_NEAR(std::sqrt(squares / 20000 - mean * mean), 0.02, 0.001);  // as an exponential's
  EXPECT_NEAR(shorter / 20000.0, 1 - std::exp(-1), 0.015);
  EXPECT_THROW(poisson_arrivals(0, 1, 1), Error);
}

TEST(Workload, LengthsFollowTheirDistribution) {
  std::mt19937_64 random(1);
  const auto mean = [&](const char* text, int64_t low, int64_t high) {
    const Lengths lengths(text);
    double sum = 0;
    for (int i = 0; i < 10000; i++) {
      const int64_t n = lengths.sample(random);
      EXPECT_GE(n, low);
      EXPECT_LE(n, high);
      sum += static_cast<double>(n);
    }
    return sum / 10000;
  };
  EXPECT_EQ(mean("77", 77, 77), 77);
  EXPECT_NEAR(mean("10-20", 10, 20), 15, 0.2);
  EXPECT_NEAR(mean("normal:100:10", 1, 200), 100, 0.5);
  for (const char* bad : {"", "0", "-5", "20-10", "normal:5", "normal:x:1", "1e99", "99999999999", "5 "})
    EXPECT_THROW(Lengths{bad}, Error) << bad;
}

TEST(Workload, BodiesAreWhatWasAskedFor) {
  Workload workload;
  workload.model = "m";
  workload.requests = 3;
  workload.input_len = "5";
  workload.output_len = "7";
  workload.shared_prefix = 10;
  workload.extra_body = R"({"temperature":0,"max_tokens":9})";
  const auto bodies = make_bodies(workload);
  EXPECT_EQ(bodies, make_bodies(workload));
  std::vector<std::string> prompts;
  for (const auto& text : bodies) {
    const auto body = nlohmann::json::parse(text);
    EXPECT_EQ(body["max_tokens"], 9);
    EXPECT_TRUE(body["stream"] && body["stream_options"]["include_usage"]);
    prompts.push_back(body["messages"][0]["content"]);
    EXPECT_EQ(std::count(prompts.back().begin(), prompts.back().end(), ' '), 14);
  }
  const auto tenth_space = [&](const std::string& text) {
    size_t at = 0;
    for (int i = 0; i < 10; i++) at = text.find(' ', at) + 1;
    return text.substr(0, at);
  };
  EXPECT_EQ(tenth_space(prompts[0]), tenth_space(prompts[1]));
  EXPECT_NE(prompts[0], prompts[1]);
  workload.ids_below = 100;
  EXPECT_THROW(make_bodies(workload), Error);
  workload.chat = false;
  const auto ids = nlohmann::json::parse(make_bodies(workload)[0])["prompt"].get<std::vector<int>>();
  EXPECT_EQ(ids.size(), 15u);
  EXPECT_LT(*std::max_element(ids.begin(), ids.end()), 100);
  workload.extra_body = "[]";
  EXPECT_THROW(make_bodies(workload), Error);
}

TEST(Workload, FilesGiveThePrompts) {
  const std::string folder = testing::TempDir();
  const auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream(folder + name) << text;
    return folder + name;
  };
  Workload workload;
  workload.requests = 3;
  workload.prompts_file = write("load_prompts.txt", "first one\r\n\nsecond\n");
  const auto content = [](const std::string& body) { return nlohmann::json::parse(body)["messages"][0]["content"].get<std::string>(); };
  auto bodies = make_bodies(workload);
  EXPECT_THAT((std::vector{content(bodies[0]), content(bodies[1]), content(bodies[2])}), ElementsAre("first one", "second", "first one"));
  workload.prompts_file = write("load_prompts.jsonl", R"({"messages":[{"role":"user","content":"hi"}],"max_tokens":3})"
                                                      "\n"
                                                      R"({"prompt":"plain"})");
  bodies = make_bodies(workload);
  EXPECT_EQ(content(bodies[0]), "hi");
  EXPECT_EQ(nlohmann::json::parse(bodies[0])["max_tokens"], 3);
  EXPECT_EQ(content(bodies[1]), "plain");
  workload.chat = false;
  EXPECT_THROW(make_bodies(workload), Error);
  for (const char* bad : {"", "{\n", "[]\n", "{\"text\":1}\n"}) {
    workload.prompts_file = write("load_bad.jsonl", bad);
    EXPECT_THROW(make_bodies(workload), Error) << bad;
  }
  workload.prompts_file = folder + "absent.txt";
  EXPECT_THROW(make_bodies(workload), Error);
}

TEST(Summary, PercentilesInterpolate) {
  EXPECT_EQ(percentile({}, 0.5), 0);
  EXPECT_EQ(percentile({3}, 0.99), 3);
  EXPECT_DOUBLE_EQ(percentile({1, 2, 3, 4}, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(percentile({1, 2, 3, 4, 5}, 0.9), 4.6);
  EXPECT_EQ(percentile({1, 2}, 1), 2);
  const Spread s = spread({4, 1, 3, 2});
  EXPECT_DOUBLE_EQ(s.mean, 2.5);
  EXPECT_EQ(s.most, 4);
}

TEST(Summary, SlosAreRead) {
  const Slo slo = parse_slo("ttft:200ms,itl:50,e2e:2.5s");
  EXPECT_DOUBLE_EQ(*slo.ttft, 0.2);
  EXPECT_DOUBLE_EQ(*slo.itl, 0.05);
  EXPECT_DOUBLE_EQ(*slo.e2e, 2.5);
  EXPECT_FALSE(slo.tpot);
  EXPECT_FALSE(parse_slo("").any());
  for (const char* bad : {"ttft", "ttft:", "x:1", "ttft:-1ms", "ttft:1h", "ttft:nan", "ttft:0"}) EXPECT_THROW(parse_slo(bad), Error) << bad;
}

/// Intended, first, end; the gaps fill the time between.
Outcome outcome(double intended, double first, double end, int tokens) {
  Outcome made;
  made.intended = made.sent = intended;
  made.first = first;
  made.end = end;
  made.output_tokens = tokens;
  made.prompt_tokens = 10;
  for (int i = 1; i < tokens; i++) made.gaps.push_back(static_cast<float>((end - first) / (tokens - 1)));
  return made;
}

TEST(Summary, FiguresOfALoad) {
  std::vector<Outcome> outcomes{outcome(0, 0.1, 1.1, 11), outcome(1, 1.5, 4, 11), outcome(2, 2.1, 2.2, 2)};
  Outcome refused = outcome(3, 3, 3, 0);
  refused.failure = Failure::Status;
  refused.status = 429;
  refused.message = "full";
  outcomes.push_back(refused);
  const LoadPoint point = summarize(outcomes, parse_slo("ttft:200ms,e2e:2s"));
  EXPECT_EQ(point.completed, 3u);
  EXPECT_EQ(point.failures.at("http 429"), 1u);
  EXPECT_EQ(point.failure_examples.at("http 429"), "full");
  EXPECT_DOUBLE_EQ(point.seconds, 4);
  EXPECT_DOUBLE_EQ(point.requests_per_second, 0.75);
  EXPECT_DOUBLE_EQ(point.output_tokens_per_second, 6);
  EXPECT_NEAR(point.ttft.p50, 0.1, 1e-9);
  EXPECT_NEAR(point.ttft.most, 0.5, 1e-9);
  EXPECT_NEAR(point.itl.p50, 0.1, 1e-6);
  EXPECT_NEAR(point.tpot.most, 0.25, 1e-6);
  EXPECT_DOUBLE_EQ(point.goodput, 0.5);
  EXPECT_DOUBLE_EQ(point.goodput_share, 0.5);
  EXPECT_EQ(summarize({}, {}).requests, 0u);
}

Report example_report() {
  Report report;
  report.title = "storyteller <&> chat";
  report.slo = parse_slo("ttft:200ms");
  for (const double rate : {1.0, 2.0, 40.0}) {
    LoadPoint point = summarize({outcome(0, 0.1 * rate, rate, 3)}, report.slo);
    point.rate = rate;
    report.points.push_back(point);
  }
  return report;
}

TEST(Report, JsonHoldsTheFigures) {
  const auto json = nlohmann::json::parse(report_json(example_report()));
  EXPECT_EQ(json["points"].size(), 3u);
  EXPECT_EQ(json["points"][1]["request_rate"], 2.0);
  EXPECT_DOUBLE_EQ(json["points"][1]["ttft_ms"]["p95"].get<double>(), 200);
  EXPECT_EQ(json["points"][1]["goodput_share"], 1.0);
  EXPECT_EQ(json["slo_ms"]["ttft"], 200);
}

TEST(Report, TableNamesFailuresWithoutControlCharacters) {
  Report report = example_report();
  LoadPoint& point = report.points[0];
  point.failures["http 500"] = 2;
  point.failure_examples["http 500"] = "boom\x1b[31m\n";
  const std::string row = table_row(report, point);
  EXPECT_THAT(row, HasSubstr("2 failed: http 500 (boom [31m )"));
  EXPECT_THAT(table_head(report), HasSubstr("TTFT p50"));
}

TEST(Report, PlotsEveryPointAndEscapesText) {
  const Report report = example_report();
  const std::string svg = report_svg(report);
  EXPECT_THAT(svg, HasSubstr("storyteller &lt;&amp;&gt; chat"));
  size_t marks = 0;
  for (size_t at = svg.find("<circle"); at != std::string::npos; at = svg.find("<circle", at + 1)) marks++;
  EXPECT_EQ(marks, 3u * (3 + 3 + 3 + 2 + 1 + 1));
  EXPECT_THAT(svg, testing::AllOf(Not(HasSubstr("nan")), Not(HasSubstr("inf")), HasSubstr("prefers-color-scheme")));
  EXPECT_THAT(svg.substr(svg.find("Failed requests")), testing::AllOf(HasSubstr(">100<"), Not(HasSubstr(">120<")))) << "where none failed";
  EXPECT_THAT(report_html(report), testing::AllOf(HasSubstr("<table>"), HasSubstr("</svg>")));
  Report one = report;
  one.points.resize(1);
  one.points[0] = LoadPoint();  // nothing succeeded
  one.points[0].concurrency = 1;
  EXPECT_THAT(report_svg(one), testing::AllOf(Not(HasSubstr("nan")), Not(HasSubstr("inf"))));
}

}  // namespace
}  // namespace infernum::load
