// What a load is made of before anything is sent: address, request text, arrival times, names of failures.
#include <cmath>
#include <random>

#include "core/check.h"
#include "server/load/client.h"

namespace infernum::load {

Target parse_url(std::string_view url) {
  const std::string_view given = url;
  check(url.substr(0, 8) != "https://", "load client: only plain http, put a proxy in front of TLS:", given);
  if (url.substr(0, 7) == "http://") url.remove_prefix(7);
  check(url.find("://") == std::string_view::npos, "load client: a URL begins with http://:", given);
  Target target;
  const size_t slash = url.find('/');
  std::string_view authority = url.substr(0, slash);
  if (slash != std::string_view::npos) target.path = std::string(url.substr(slash));
  while (!target.path.empty() && target.path.back() == '/') target.path.pop_back();
  check(target.path.find_first_of(" \r\n?#") == std::string::npos,
        "load client: the path of a URL has no spaces, query or fragment:", given);
  size_t colon = authority.rfind(':');
  if (!authority.empty() && authority.front() == '[') {
    const size_t end = authority.find(']');
    check(end != std::string_view::npos, "load client: no ] in the address:", given);
    target.host = std::string(authority.substr(1, end - 1));
    colon = end + 1 < authority.size() && authority[end + 1] == ':' ? end + 1 : std::string_view::npos;
  } else {
    target.host = std::string(authority.substr(0, colon));
  }
  target.port = colon == std::string_view::npos ? "80" : std::string(authority.substr(colon + 1));
  const bool digits = !target.port.empty() && target.port.size() <= 5 && target.port.find_first_not_of("0123456789") == std::string::npos;
  check(digits && std::stoi(target.port) >= 1 && std::stoi(target.port) <= 65535, "load client: a port is 1 to 65535:", given);
  check(!target.host.empty() && target.host.find_first_of(" \r\n@") == std::string::npos, "load client: no host in", given);
  return target;
}

std::string http_request(const Target& target, std::string_view route, std::string_view api_key, std::string_view body) {
  check(api_key.find_first_of("\r\n") == std::string_view::npos, "load client: a line break in the API key");
  const bool brackets = target.host.find(':') != std::string::npos;
  std::string out = "POST " + target.path + std::string(route) + " HTTP/1.1\r\nHost: ";
  out += (brackets ? "[" + target.host + "]" : target.host) + ":" + target.port;
  out += "\r\nUser-Agent: infernum-bench\r\nAccept: text/event-stream, application/json\r\nContent-Type: application/json\r\n";
  if (!api_key.empty()) out += "Authorization: Bearer " + std::string(api_key) + "\r\n";
  out += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  out += body;
  return out;
}

std::string_view name_of(Failure failure) {
  switch (failure) {
    case Failure::None: return "none";
    case Failure::Connect: return "connect";
    case Failure::Timeout: return "timeout";
    case Failure::Status: return "status";
    case Failure::Closed: return "closed";
    case Failure::Stream: return "stream error";
    case Failure::Malformed: return "malformed";
    case Failure::Incomplete: return "incomplete";
  }
  return "none";
}

std::vector<double> poisson_arrivals(double rate, size_t n, uint64_t seed) {
  check(rate > 0 && std::isfinite(rate), "load client: a request rate is above 0:", rate);
  std::mt19937_64 random(seed);
  std::vector<double> arrivals(n);
  double at = 0;
  for (size_t i = 0; i < n; i++) {
    arrivals[i] = at;
    // Not std::exponential_distribution: the same seed is to give the same times whatever the library.
    const double uniform = static_cast<double>(random() >> 11) * 0x1p-53;
    at -= std::log1p(-uniform) / rate;
  }
  return arrivals;
}

}  // namespace infernum::load
