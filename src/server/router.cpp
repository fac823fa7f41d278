#include "server/router.h"

#include <algorithm>

namespace infernum::server {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Nothing where a % is not followed by two digits or the result is a control character.
std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); i++) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return std::nullopt;
    out += c;
  }
  return out;
}

std::string tidy_slashes(std::string_view path) {
  std::string out;
  for (const char c : path)
    if (c != '/' || out.empty() || out.back() != '/') out += c;
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  return out;
}

bool has_dot_segment(std::string_view path) {
  for (size_t start = 0; start <= path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string_view segment = path.substr(start, end - start);
    if (segment == "." || segment == "..") return true;
    start = end + 1;
  }
  return false;
}

bool has_item(std::string_view query, std::string_view wanted) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    if (query.substr(0, end) == wanted) return true;
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return false;
}

bool matches(std::string_view pattern, std::string_view path, std::string_view query) {
  if (const size_t question = pattern.find('?'); question != std::string_view::npos)
    return pattern.substr(0, question) == path && has_item(query, pattern.substr(question + 1));
  if (!pattern.ends_with("/*")) return pattern == path;
  const std::string_view stem = pattern.substr(0, pattern.size() - 1);  // keeps the slash
  return path.size() > stem.size() && path.starts_with(stem);
}

}  // namespace

std::optional<Target> parse_target(std::string_view target, std::string_view prefix) {
  Target out;
  if (target == "*") return Target{"*", ""};
  if (!target.starts_with('/')) {  // absolute form, as proxies get it
    const size_t scheme = target.find("://");
    if (scheme == std::string_view::npos) return std::nullopt;
    const size_t path = target.find_first_of("/?", scheme + 3);
    target = path == std::string_view::npos ? "/" : target.substr(path);
  }
  target = target.substr(0, target.find('#'));
  const size_t question = target.find('?');
  if (question != std::string_view::npos) out.query = target.substr(question + 1);
  std::string_view raw = target.substr(0, question);
  const std::string tidy = tidy_slashes(raw.empty() ? "/" : raw);
  const auto decoded = percent_decode(tidy);
  if (!decoded || has_dot_segment(*decoded)) return std::nullopt;
  out.path = *decoded;
  if (!prefix.empty()) {
    const bool below = out.path.starts_with(prefix) && (out.path.size() == prefix.size() || out.path[prefix.size()] == '/');
    out.path = below ? out.path.substr(prefix.size()) : std::string();
    if (below && out.path.empty()) out.path = "/";
  }
  return out;
}

Router::Router(std::vector<Route> routes) : routes_(std::move(routes)) {
  // Those that ask for more are looked at first.
  std::stable_partition(routes_.begin(), routes_.end(), [](const Route& r) { return r.path.find('?') != std::string_view::npos; });
}

Router::Match Router::find(std::string_view method, std::string_view path, std::string_view query) const {
  Match match;
  const auto search = [&](std::string_view candidate) {
    for (const Route& route : routes_) {
      if (!matches(route.path, candidate, query)) continue;
      if (route.method == method || (method == "HEAD" && route.method == "GET")) {
        match.route = &route;
        match.path = candidate;
        return;
      }
      if (match.allow.find(route.method) == std::string::npos) match.allow += (match.allow.empty() ? "" : ", ") + std::string(route.method);
      if (route.method == "GET") match.allow += ", HEAD";
    }
  };
  search(path);
  if (match.route || !match.allow.empty()) return match;
  // Clients of llama.cpp leave /v1 away, others put it where it does not belong.
  if (path.starts_with("/v1/"))
    search(path.substr(3));
  else if (path.starts_with('/'))
    search("/v1" + std::string(path));
  return match;
}

}  // namespace infernum::server
