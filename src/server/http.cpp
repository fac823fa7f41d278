#include "server/http.h"

#include "server/openai/json_writer.h"

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

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [known, value] : headers)
    if (known == name) return value;
  return {};
}

HttpResponse error_response(int status, std::string_view message, std::string_view code, std::string_view param) {
  HttpResponse response;
  response.status = status;
  openai::JsonWriter w(response.body);
  const auto text_or_null = [&](std::string_view text) { text.empty() ? w.null() : w.string(text); };
  w.begin_object().key("error").begin_object().key("message").string(message);
  // A server that is not there yet, or not any more, is not overloaded.
  const bool away = code == "model_loading" || code == "draining" || code == "engine_dead";
  w.key("type").string(away ? "unavailable_error" : error_type(status)).key("param");
  text_or_null(param);
  w.key("code");
  text_or_null(code);
  w.end_object().end_object();
  return response;
}

}  // namespace infernum::server
