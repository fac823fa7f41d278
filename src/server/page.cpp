#include "server/page.h"

#include <algorithm>

#include "server/web_files.h"

namespace infernum::server {
namespace {

/// The items of a list header: each without blanks, and what follows its semicolon.
template <class F>
bool any_item(std::string_view header, F&& is_it) {
  const auto trimmed = [](std::string_view s) {
    while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
    while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
    return s;
  };
  while (!header.empty()) {
    const std::string_view item = header.substr(0, header.find(','));
    header.remove_prefix(std::min(item.size() + 1, header.size()));
    const size_t end = std::min(item.find(';'), item.size());
    if (is_it(trimmed(item.substr(0, end)), trimmed(item.substr(std::min(end + 1, item.size()))))) return true;
  }
  return false;
}

bool accepts_gzip(std::string_view header) {
  return any_item(header, [](std::string_view coding, std::string_view weight) {
    return coding == "gzip" && weight != "q=0" && !weight.starts_with("q=0.0");
  });
}

bool knows(std::string_view header, std::string_view etag) {
  return any_item(header, [&](std::string_view item, std::string_view) { return item == "*" || item == etag; });
}

HttpResponse file_response(const WebFile& file, const HttpRequest& request) {
  HttpResponse r;
  r.content_type = file.content_type;
  r.headers = {{"ETag", std::string(file.etag)},
               {"Cache-Control", file.immutable ? "public, max-age=31536000, immutable" : "no-cache"},
               {"Vary", "Accept-Encoding"},
               {"Content-Security-Policy", std::string(content_security_policy)},
               {"Cross-Origin-Opener-Policy", "same-origin"}};
  if (knows(request.header("if-none-match"), file.etag)) {
    r.status = 304;
    return r;
  }
  const bool gzip = !file.gzip.empty() && accepts_gzip(request.header("accept-encoding"));
  if (gzip) r.headers.emplace_back("Content-Encoding", "gzip");
  r.body = gzip ? file.gzip : file.bytes;
  return r;
}

void serve_file(const std::shared_ptr<Exchange>& exchange) {
  const auto files = web_files();
  const auto found = std::find_if(files.begin(), files.end(), [&](const WebFile& f) { return f.path == exchange->request().path; });
  if (found == files.end()) return exchange->respond(error_response(404, "the chat page has no such file", "unknown_url"));
  exchange->respond(file_response(*found, exchange->request()));
}

}  // namespace

std::vector<Route> page_routes() {
  std::vector<Route> routes;
  for (const std::string_view path : {"/", "/assets/*"}) {
    Route& route = routes.emplace_back();
    route.method = "GET";
    route.path = path;
    route.access = Access::Public;
    route.handler = serve_file;
  }
  return routes;
}

}  // namespace infernum::server
