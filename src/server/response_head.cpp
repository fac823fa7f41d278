#include "server/response_head.h"

#include <charconv>

namespace infernum::server {
namespace {

void append_number(std::string& out, int64_t value) {
  char text[24];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  for (const char c : value) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  out += "\r\n";
}

}  // namespace

std::string_view status_text(int status) {
  switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Unknown";
  }
}

void append_head(std::string& out, const ResponseHead& head, const HeaderFields& more, const HeaderFields& yet_more) {
  out += head.http_1_0 ? "HTTP/1.0 " : "HTTP/1.1 ";
  append_number(out, head.status);
  out += ' ';
  out += status_text(head.status);
  out += "\r\nServer: infernum\r\nDate: ";
  out += head.date;
  out += "\r\n";
  if (!head.content_type.empty()) append_field(out, "Content-Type", head.content_type);
  if (head.content_length) {
    out += "Content-Length: ";
    append_number(out, static_cast<int64_t>(*head.content_length));
    out += "\r\n";
  }
  if (head.chunked) out += "Transfer-Encoding: chunked\r\n";
  if (!head.keep_alive)
    out += "Connection: close\r\n";
  else if (head.http_1_0)
    out += "Connection: keep-alive\r\n";
  append_field(out, "x-request-id", head.request_id);
  if (head.processing_ms >= 0) {
    out += "openai-processing-ms: ";
    append_number(out, head.processing_ms);
    out += "\r\n";
  }
  out += "openai-version: 2020-10-01\r\nX-Content-Type-Options: nosniff\r\n";
  if (head.content_type.starts_with("text/html")) out += "X-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n";
  if (!head.cors_origin.empty()) {
    append_field(out, "Access-Control-Allow-Origin", head.cors_origin);
    // All of those that a page could make something of.
    out +=
        "Access-Control-Expose-Headers: x-request-id, retry-after, retry-after-ms, x-should-retry, x-infernum-no-effect, "
        "openai-processing-ms, "
        "x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
        "x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens\r\nVary: Origin\r\n";
  }
  for (const auto& [name, value] : more) append_field(out, name, value);
  for (const auto& [name, value] : yet_more) append_field(out, name, value);
  out += "\r\n";
}

}  // namespace infernum::server
