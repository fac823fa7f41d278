#include "server/http.h"

#include "server/json_writer.h"

namespace infernum::server {
namespace {

std::string_view error_type(int status) {
  switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 408:
    case 504: return "timeout_error";
    case 429: return "rate_limit_error";
    case 503: return "overloaded_error";
    default: return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

void append_or_null(std::string& out, std::string_view text) {
  if (text.empty())
    out += "null";
  else
    append_untrusted_string(out, text);
}

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [known, value] : headers)
    if (known == name) return value;
  return {};
}

HttpResponse error_response(int status, std::string_view message, std::string_view code, std::string_view param) {
  HttpResponse response;
  response.status = status;
  response.error_code = code;
  std::string& body = response.body;
  body = R"({"error":{"message":)";
  append_untrusted_string(body, message);
  body += R"(,"type":)";
  // A server that is not there yet, or not any more, is not overloaded.
  const bool away = code == "model_loading" || code == "draining" || code == "engine_dead";
  append_untrusted_string(body, away ? "unavailable_error" : error_type(status));
  body += R"(,"param":)";
  append_or_null(body, param);
  body += R"(,"code":)";
  append_or_null(body, code);
  body += "}}";
  return response;
}

}  // namespace infernum::server
