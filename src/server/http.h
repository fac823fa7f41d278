// What a handler sees of HTTP: a request, and an exchange to answer it by. No sockets here: those are http_server.cpp's.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace infernum::server {

using HeaderFields = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;                                        ///< "GET"
  std::string path;                                          ///< percent-decoded, without repeated and trailing slashes and the API prefix
  std::string query;                                         ///< behind the ?, as sent
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  std::string body;
  std::string id;          ///< x-request-id: the client's, or one of ours
  std::string peer;        ///< address of the client
  std::string key;         ///< name or hash prefix of the API key it came with; empty: none
  std::string_view route;  ///< the path of the matching line of the table, such as "/v1/models/*"; empty: none matched
  /// "" if there is none; `name` in lower case.
  std::string_view header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string_view content_type = "application/json";  ///< of static storage
  HeaderFields headers;
  std::string error_code;  ///< of an error's body, for the log and the metrics
};

/// One request and its answer: either respond(), or begin_stream(), any number of send() and finish(). Lives on the I/O thread. Dropping it
/// unanswered answers 500, dropping it within a stream cuts the connection, so that no client waits for ever.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const HttpRequest& request() const = 0;
  virtual void respond(HttpResponse response) = 0;
  /// Status 200, the headers of a stream of server-sent events, and `more`.
  virtual void begin_stream(HeaderFields more = {}) = 0;
  /// Whole events. Never blocks: what the socket does not take waits in a bounded buffer; a client that reads too slowly for too long is
  /// cut off, as if it had gone.
  virtual void send(std::string_view events) = 0;
  virtual void finish() = 0;
  /// Called once if the client goes before the answer is complete, never from within another function of the exchange; not called after.
  virtual void on_gone(std::function<void()> handler) = 0;
  /// Notes for the access line and the metrics: model, prompt_tokens, cached_tokens, completion_tokens, finish_reason, queue_ms, ttft_ms
  /// ... Names are of static storage. prompt_tokens and completion_tokens are what the key's token rate is charged by.
  virtual void note(std::string_view name, std::string value) = 0;
};

using Handler = std::function<void(std::shared_ptr<Exchange>)>;

/// Work for the I/O thread, from any thread, and timers on it.
class IoLoop {
 public:
  virtual ~IoLoop() = default;
  virtual void post(std::function<void()> work) = 0;
  /// Destroying the handle cancels the timer. On the I/O thread only.
  class Timer {
   public:
    virtual ~Timer() = default;
  };
  virtual std::unique_ptr<Timer> after(double seconds, std::function<void()> work) = 0;
};

/// Who may call a route. Routes are denied unless their line in the table says otherwise.
enum class Access { Public, Key, Admin };

/// Strings of static storage.
struct Route {
  std::string_view method;  ///< GET answers HEAD too
  std::string_view path;    ///< a last segment of "*" matches the rest of the path, "?x=y" behind it a query with that item; /v1/X and /X
                            ///< find each other
  Access access = Access::Key;
  Handler handler;
  bool needs_json = false;  ///< else 415
};

/// {"error":{"message","type","param","code"}} with the type that belongs to the status (spec of the OpenAI API); null where empty.
HttpResponse error_response(int status, std::string_view message, std::string_view code = {}, std::string_view param = {});

}  // namespace infernum::server
