#include "server/gatekeeping.h"

#include <algorithm>

namespace infernum::server {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return out;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// "application/json" with at most a charset of UTF-8.
bool is_json(std::string_view content_type) {
  const size_t semicolon = std::min(content_type.find(';'), content_type.size());
  if (lower(trim(content_type.substr(0, semicolon))) != "application/json") return false;
  std::string_view rest = content_type.substr(semicolon);
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const size_t end = std::min(rest.find(';'), rest.size());
    const std::string parameter = lower(trim(rest.substr(0, end)));
    if (parameter.starts_with("charset=") && parameter != "charset=utf-8" && parameter != "charset=\"utf-8\"" &&
        parameter != "charset=utf8")
      return false;
    rest.remove_prefix(end);
  }
  return true;
}

}  // namespace

bool host_is_local(std::string_view host_field, const std::vector<std::string>& allowed) {
  std::string host = lower(trim(host_field));
  const size_t bracket = host.rfind(']');
  const size_t colon = host.rfind(':');
  if (colon != std::string::npos && (bracket == std::string::npos || colon > bracket)) host.resize(colon);
  if (host == "localhost" || host.ends_with(".localhost") || host == "[::1]") return true;
  const bool digits = std::all_of(host.begin(), host.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
  if (digits && host.starts_with("127.")) return true;
  return std::any_of(allowed.begin(), allowed.end(), [&host](const std::string& name) { return name == "*" || lower(name) == host; });
}

std::string_view allowed_origin(const HttpRequest& request, const std::vector<std::string>& origins) {
  if (origins.empty()) return {};
  const std::string_view origin = request.header("origin");
  if (origin.empty()) return {};
  for (const std::string& known : origins) {
    if (known == "*") return "*";  // never with credentials: those are not allowed to anybody
    if (known == origin) return origin;
  }
  return {};
}

HttpResponse answer_options(const HttpRequest& request, const Router& router, const std::vector<std::string>& origins) {
  Router::Match match = router.find("OPTIONS", request.path);
  if (match.allow.empty() && request.path != "*") return no_such_route(request, match);
  const std::string methods = match.allow.empty() ? "GET, HEAD, POST, OPTIONS" : match.allow + ", OPTIONS";
  if (!request.header("origin").empty() && !request.header("access-control-request-method").empty() &&
      allowed_origin(request, origins).empty())
    return error_response(403,
                          "the origin " + std::string(request.header("origin").substr(0, 100)) +
                              " may not use this server; --cors-origins names those that may",
                          "origin_not_allowed");
  HttpResponse response;
  response.status = 204;
  response.headers.emplace_back("Allow", methods);
  if (!allowed_origin(request, origins).empty()) {
    response.headers.emplace_back("Access-Control-Allow-Methods", methods);
    const std::string_view asked = request.header("access-control-request-headers");
    response.headers.emplace_back("Access-Control-Allow-Headers",
                                  asked.empty() ? "authorization, content-type, x-api-key, x-request-id" : std::string(asked));
    response.headers.emplace_back("Access-Control-Max-Age", "600");
  }
  return response;
}

HttpResponse no_such_route(const HttpRequest& request, const Router::Match& match) {
  if (match.allow.empty()) return error_response(404, "there is nothing at this path: " + request.path.substr(0, 200), "unknown_url");
  HttpResponse response =
      error_response(405, "this path does not take " + request.method.substr(0, 20) + "; it takes " + match.allow, "method_not_allowed");
  response.headers.emplace_back("Allow", match.allow);
  return response;
}

std::optional<HttpResponse> check_content(const HttpRequest& request, const Route& route) {
  const std::string_view encoding = request.header("content-encoding");
  if (!encoding.empty() && lower(trim(encoding)) != "identity")
    return error_response(415, "Content-Encoding must be identity, but is " + std::string(encoding.substr(0, 100)), "unsupported_encoding");
  if (route.needs_json && !is_json(request.header("content-type")))
    return error_response(
        415,
        "Content-Type must be application/json, in UTF-8, but is " +
            (request.header("content-type").empty() ? "missing" : std::string(request.header("content-type").substr(0, 100))),
        "unsupported_media_type");
  return std::nullopt;
}

}  // namespace infernum::server
