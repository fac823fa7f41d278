// Fakes of the engine, the I/O loop and the exchange, and a small byte-level tokenizer: what the tests here run the service on.
#pragma once
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "server/openai/service.h"

namespace infernum::server::testing {

using Tree = nlohmann::ordered_json;

/// Bytes 0 to 255 by their own ids, "the" 256, " the" 257, "Hello" 258, " world" 259, <|im_start|> 260, <|im_end|> 261, <s> 262.
Tokenizer test_tokenizer();
inline constexpr int32_t end_token = 261, vocab_rows = 263;
inline constexpr const char* test_template =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking is defined %}[{{ enable_thinking }}]{% endif %}{% endif %}";
ServedModel test_model(bool with_chat = true);
std::vector<int32_t> bytes_as_ids(std::string_view text);

/// Work runs when the test says so, on the test's thread; posting is safe from any thread.
class FakeLoop final : public IoLoop {
 public:
  void post(std::function<void()> work) override;
  std::unique_ptr<Timer> after(double seconds, std::function<void()> work) override;
  /// Runs what is posted until nothing is left.
  void run();
  /// Runs until `done`, waiting for other threads up to ten seconds.
  void run_until(const std::function<bool()>& done);
  void fire_timers();

 private:
  struct Handle;
  std::mutex mutex_;
  std::deque<std::function<void()>> work_;
  std::vector<std::weak_ptr<std::function<void()>>> timers_;
};

/// Generates only when told to.
class FakeEngine final : public Engine {
 public:
  FakeEngine() { info_ = {vocab_rows, 256, 4096, 8}; }
  const EngineInfo& info() const override { return info_; }
  void on_step(std::function<void(std::vector<EngineEvent>)> handler) override { handler_ = std::move(handler); }
  Admission submit(RequestId id, EngineRequest request) override;
  void cancel(RequestId id) override;
  EngineStats stats() const override { return stats_; }
  void stop() override {}

  /// One step: the events given, and the end of what was cancelled before.
  void step(std::vector<EngineEvent> events = {});
  /// The text byte by byte in one step each, then an end.
  void say(RequestId id, std::string_view text, EndReason reason = EndReason::Stop);
  void end(RequestId id, EndReason reason, std::string message = {});

  EngineInfo info_;
  EngineStats stats_;
  Admission admission_ = Admission::Accepted;
  size_t accept_ = SIZE_MAX;  ///< so many more, then admission_
  std::map<RequestId, EngineRequest> running;
  std::vector<RequestId> cancelled;
  std::vector<EngineRequest> seen;
  RequestId last = 0;
  std::function<void()> after_step;

 private:
  std::function<void(std::vector<EngineEvent>)> handler_;
  std::vector<RequestId> ending_;
};

ScoredToken token(int32_t id);
EngineEvent event(RequestId id, std::vector<int32_t> tokens, std::optional<EndReason> end = {});

class FakeExchange final : public Exchange {
 public:
  explicit FakeExchange(HttpRequest request) : request_(std::move(request)) {}
  const HttpRequest& request() const override { return request_; }
  void respond(HttpResponse r) override;
  void begin_stream(HeaderFields more) override;
  void send(std::string_view events) override;
  void finish() override;
  void on_gone(std::function<void()> handler) override { gone_ = std::move(handler); }
  void note(std::string_view name, std::string value) override { notes[std::string(name)] = std::move(value); }
  void leave();

  bool complete() const { return response.has_value() || finished; }
  Tree body() const { return Tree::parse(response.value().body); }
  /// The JSON of all events but [DONE] and comments; checks the framing.
  std::vector<Tree> events() const;

  std::optional<HttpResponse> response;
  bool begun = false, finished = false;
  HeaderFields stream_headers;
  std::vector<std::string> sends;
  std::string stream;
  std::map<std::string, std::string> notes;

 private:
  HttpRequest request_;
  std::function<void()> gone_;
};

/// A service with everything it stands on.
struct Bench {
  explicit Bench(ServiceOptions options = {}, ServedModel model = test_model());
  std::shared_ptr<FakeExchange> post(const std::string& path, const std::string& body, std::string key = {});
  std::shared_ptr<FakeExchange> get(const std::string& path);
  std::shared_ptr<FakeExchange> chat(const std::string& more, const std::string& text = "Hi");
  std::shared_ptr<FakeExchange> complete(const std::string& more, const std::string& prompt = "\"Hi\"");
  void run() { loop.run(); }

  FakeLoop loop;
  bool keeps_pace = true;  ///< the loop runs behind every step of the engine; else when the test says so
  FakeEngine engine;
  std::vector<RequestRecord> records;
  std::unique_ptr<OpenAiService> service;
  std::vector<Route> routes;
};

/// The text of choice `index`, put together from the chunks of a stream.
std::string streamed_text(const std::vector<Tree>& chunks, int index = 0);

}  // namespace infernum::server::testing
