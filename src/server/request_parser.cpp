#include "server/request_parser.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

namespace infernum::server {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using View = boost::beast::string_view;

std::string lower(View text) {
  std::string out(text.data(), text.size());
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return out;
}

bool is_chunked(std::string_view value) { return lower({value.data(), value.size()}) == "chunked"; }

/// Writes straight into an HttpRequest instead of Beast's own containers.
class BeastParser final : public http::basic_parser<true> {
 public:
  explicit BeastParser(HttpRequest& into) : request(into) {}

  HttpRequest& request;
  size_t most_body_bytes = 0;
  int http_version = 11;
  bool head_done = false, discarding = false;

 private:
  void on_request_impl(http::verb, View method, View target, int version, error_code&) override {
    request.method.assign(method.data(), method.size());
    request.path.assign(target.data(), target.size());
    http_version = version;
  }
  void on_response_impl(int, View, int, error_code&) override {}
  void on_field_impl(http::field, View name, View value, error_code&) override {
    // Fields behind a chunked body could pass for those that were checked before it: nobody needs them.
    if (!head_done) request.headers.emplace_back(lower(name), std::string(value.data(), value.size()));
  }
  void on_header_impl(error_code&) override { head_done = true; }
  void on_body_init_impl(const boost::optional<uint64_t>& length, error_code&) override {
    // A length is a promise, not a reason to reserve all of it.
    if (length && !discarding) request.body.reserve(static_cast<size_t>(std::min<uint64_t>(*length, 64 << 10)));
  }
  size_t on_body_impl(View body, error_code&) override {
    if (!discarding) request.body.append(body.data(), body.size());
    return body.size();
  }
  void on_chunk_header_impl(uint64_t, View, error_code&) override {}
  size_t on_chunk_body_impl(uint64_t, View body, error_code& error) override {
    if (!discarding && request.body.size() + body.size() > most_body_bytes) {
      error = http::error::body_limit;
      return 0;
    }
    return on_body_impl(body, error);
  }
  void on_finish_impl(error_code&) override {}
};

}  // namespace

struct RequestParser::Impl {
  RequestLimits limits;
  BeastParser parser;
  size_t head_bytes = 0;
  bool told_head = false;
  int status = 0;
  std::string message;

  Impl(const RequestLimits& l, HttpRequest& request) : limits(l), parser(request) {
    parser.header_limit(static_cast<uint32_t>(l.header_bytes));
    parser.body_limit(l.body_bytes);
    parser.most_body_bytes = l.body_bytes;
  }

  State fail(int code, const std::string& why) {
    status = code;
    message = why;
    return State::Failed;
  }

  std::string too_long_url() const { return "the URL is longer than " + std::to_string(limits.url_bytes) + " bytes"; }

  State fail(const error_code& error, std::string_view bytes) {
    if (error == http::error::header_limit) {
      if (head_bytes == 0 && bytes.substr(0, limits.header_bytes).find('\n') == std::string_view::npos) return fail(414, too_long_url());
      return fail(431, "the header is longer than " + std::to_string(limits.header_bytes) + " bytes or has more than " +
                           std::to_string(limits.fields) + " fields");
    }
    if (error == http::error::body_limit) return fail(413, "the body is longer than " + std::to_string(limits.body_bytes) + " bytes");
    if (error == http::error::bad_version) return fail(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    if (error == http::error::bad_content_length || error == http::error::multiple_content_length)
      return fail(400, "the header has a Content-Length that is malformed, repeated or joined by a Transfer-Encoding");
    if (error == http::error::bad_transfer_encoding)
      return fail(400, "the header has a Transfer-Encoding that is malformed or joined by a Content-Length");
    if (error == http::error::bad_chunk || error == http::error::bad_chunk_extension) return fail(400, "the body has a malformed chunk");
    return fail(400, "the request is not well-formed HTTP");
  }

  /// Rules that Beast does not make.
  State check_head() {
    const HttpRequest& request = parser.request;
    if (request.path.size() > limits.url_bytes) return fail(414, too_long_url());
    int lengths = 0, encodings = 0, hosts = 0;
    for (const auto& [name, value] : request.headers) {
      if (name == "content-length") {
        if (!std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; }))
          return fail(400, "the Content-Length is not a number");
        lengths++;
      }
      hosts += name == "host";
      if (name == "transfer-encoding") {
        if (!is_chunked(value)) return fail(501, "the only Transfer-Encoding known here is chunked");
        encodings++;
      }
    }
    if (lengths + encodings > 1) return fail(400, "the header says more than once how long the body is");
    if (encodings && parser.http_version < 11) return fail(400, "HTTP/1.0 has no Transfer-Encoding");
    if (hosts > 1 || (hosts == 0 && parser.http_version >= 11))
      return fail(400, "the header must name one Host, but names " + std::to_string(hosts));
    return State::Head;
  }
};

RequestParser::RequestParser(const RequestLimits& limits, HttpRequest& request) : impl_(std::make_unique<Impl>(limits, request)) {}
RequestParser::~RequestParser() = default;

RequestParser::State RequestParser::feed(std::string_view& bytes) {
  BeastParser& parser = impl_->parser;
  for (;;) {
    if (parser.head_done && !impl_->told_head) {
      impl_->told_head = true;
      return impl_->check_head();
    }
    if (parser.is_done()) return State::Done;
    if (bytes.empty()) return State::NeedMore;
    error_code error;
    const size_t used = parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
    const std::string_view before = bytes;
    bytes.remove_prefix(used);
    // Beast bounds each piece of a header that comes in pieces, not their sum.
    if (!impl_->told_head) impl_->head_bytes += used;
    const size_t waiting = error == http::error::need_more ? bytes.size() : 0;
    if (!impl_->told_head &&
        (impl_->head_bytes + waiting > impl_->limits.header_bytes || parser.request.headers.size() > impl_->limits.fields))
      return impl_->fail(http::error::header_limit, before);
    if (error == http::error::need_more) {
      if (bytes.size() > unparsed_limit) return impl_->fail(400, "the body has a chunk header or trailer that is too long");
      return State::NeedMore;
    }
    if (error) return impl_->fail(error, before);
  }
}

int RequestParser::status() const { return impl_->status; }
std::string_view RequestParser::message() const { return impl_->message; }
bool RequestParser::keep_alive() const { return impl_->parser.keep_alive(); }
bool RequestParser::http_1_0() const { return impl_->parser.http_version < 11; }
bool RequestParser::expects_continue() const {
  const std::string_view value = impl_->parser.request.header("expect");
  return impl_->parser.http_version >= 11 && lower({value.data(), value.size()}) == "100-continue";
}
bool RequestParser::has_body() const { return !impl_->parser.is_done(); }
std::optional<uint64_t> RequestParser::content_length() const {
  const auto length = impl_->parser.content_length();
  return length ? std::optional<uint64_t>(*length) : std::nullopt;
}
void RequestParser::discard_body() {
  impl_->parser.discarding = true;
  impl_->parser.body_limit(boost::none);
}

}  // namespace infernum::server
