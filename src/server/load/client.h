// The load client: sends requests to a server at given times or so many at once, and notes when each part of the answers came.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace infernum::load {

struct Target {
  std::string host;
  std::string port;
  std::string path;  ///< in front of every route; no trailing slash
};

/// http://host[:port][/path]; an IPv6 address in brackets. Throws on anything else.
Target parse_url(std::string_view url);

/// An HTTP/1.1 POST of `body`, ready to be sent.
std::string http_request(const Target& target, std::string_view route, std::string_view api_key, std::string_view body);

enum class Failure {
  None,
  Connect,     ///< no connection
  Timeout,     ///< not answered in time
  Status,      ///< an HTTP status but 200
  Closed,      ///< the connection ended within the answer
  Stream,      ///< an error event within the stream
  Malformed,   ///< no HTTP, no JSON, no events
  Incomplete,  ///< a stream that ended without its end
};
std::string_view name_of(Failure failure);

/// Of one request. Times are seconds since the start of the run.
struct Outcome {
  double intended = 0;  ///< when it was to be sent; latencies count from here, so that a late client hides nothing
  double sent = 0;
  double first = 0;  ///< first content; the end where none came
  double end = 0;
  std::vector<float> gaps;                       ///< between events with content
  int64_t prompt_tokens = 0, output_tokens = 0;  ///< as the server counts; tokens of the answer are its events where it does not say
  int64_t events = 0;
  Failure failure = Failure::None;
  int status = 0;
  std::string message;
};

struct LoadPlan {
  std::vector<double> arrivals;  ///< open loop: when each request is to be sent, ascending; empty: closed loop
  int concurrency = 1;           ///< closed loop: so many requests at any time
  int max_connections = 10000;   ///< an open loop's requests wait for one of them beyond
  double timeout_seconds = 600;  ///< per request, from its sending
  bool stream = true;            ///< answers are expected as streams of events
};

/// Times of n arrivals of a Poisson process, `rate` per second; the first at 0.
std::vector<double> poisson_arrivals(double rate, size_t n, uint64_t seed);

/// Sends every request once and returns their outcomes in the same order. Throws if no connection can be made at all.
std::vector<Outcome> run_load(const Target& target, const std::vector<std::string>& requests, const LoadPlan& plan);

}  // namespace infernum::load
