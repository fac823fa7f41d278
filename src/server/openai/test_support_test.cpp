// The fakes of test_support.h. In a file of the tests, so that the library does not carry them.
#include <chrono>
#include <thread>

#include "server/openai/test_support.h"
#include "text/unicode.h"

namespace infernum::server::testing {
namespace {

/// The letters by which byte-level vocabularies spell bytes.
std::vector<std::string> byte_letters() {
  std::vector<std::string> letters(256);
  char32_t next = 256;
  for (int b = 0; b < 256; b++) {
    const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    text::append_utf8(letters[static_cast<size_t>(b)], printable ? static_cast<char32_t>(b) : next++);
  }
  return letters;
}

}  // namespace

Tokenizer test_tokenizer() {
  const auto letters = byte_letters();
  Tree vocab = Tree::object();
  for (size_t b = 0; b < 256; b++) vocab[letters[b]] = b;
  const std::string space = letters[' '];
  const std::vector<std::pair<std::string, int>> words = {{"the", 256}, {space + "the", 257}, {"Hello", 258}, {space + "world", 259}};
  for (const auto& [word, id] : words) vocab[word] = id;
  Tree json =
      Tree::parse(R"({"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,
    "trim_offsets":true,"use_regex":true},"post_processor":null,"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","ignore_merges":true}})");
  json["model"]["vocab"] = vocab;
  json["model"]["merges"] = Tree::array();
  int id = 260;
  for (const char* name : {"<|im_start|>", "<|im_end|>", "<s>"})
    json["added_tokens"].push_back({{"id", id++},
                                    {"content", name},
                                    {"single_word", false},
                                    {"lstrip", false},
                                    {"rstrip", false},
                                    {"normalized", false},
                                    {"special", true}});
  return Tokenizer::from_json(json.dump(), R"({"bos_token":"<s>","eos_token":"<|im_end|>"})");
}

ServedModel test_model(bool with_chat) {
  ServedModel m{std::make_shared<ServedNames>(std::vector<std::string>{"tiny", "alias"}),
                test_tokenizer(),
                nullptr,
                {},
                {end_token},
                {},
                0,
                "org/tiny",
                1700000000,
                "fp_test"};
  if (with_chat) m.chat = std::make_shared<const openai::ChatPrompt>(m.tokenizer, test_template);
  return m;
}

std::vector<int32_t> bytes_as_ids(std::string_view text) {
  std::vector<int32_t> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

void FakeLoop::post(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  work_.push_back(std::move(work));
}

struct FakeLoop::Handle final : IoLoop::Timer {
  std::shared_ptr<std::function<void()>> work;
};

std::unique_ptr<IoLoop::Timer> FakeLoop::after(double, std::function<void()> work) {
  auto handle = std::make_unique<Handle>();
  handle->work = std::make_shared<std::function<void()>>(std::move(work));
  timers_.push_back(handle->work);
  return handle;
}

void FakeLoop::run() {
  while (true) {
    std::function<void()> next;
    {
      const std::lock_guard lock(mutex_);
      if (work_.empty()) return;
      next = std::move(work_.front());
      work_.pop_front();
    }
    next();
  }
}

void FakeLoop::run_until(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  for (run(); !done() && std::chrono::steady_clock::now() < deadline; run()) std::this_thread::sleep_for(std::chrono::microseconds(100));
  ASSERT_TRUE(done()) << "nothing came of it in ten seconds";
}

void FakeLoop::fire_timers() {
  const auto due = std::exchange(timers_, {});
  for (const auto& timer : due)
    if (const auto work = timer.lock()) (*work)();
}

Admission FakeEngine::submit(RequestId id, EngineRequest request) {
  check(!request.prompt.empty(), "engine: the prompt has no tokens");
  if (accept_ == 0 || (accept_ == SIZE_MAX && admission_ != Admission::Accepted)) return admission_;
  if (accept_ != SIZE_MAX) accept_--;
  seen.push_back(request);
  EXPECT_TRUE(running.emplace(id, std::move(request)).second) << "an id is used once";
  last = id;
  return Admission::Accepted;
}

void FakeEngine::cancel(RequestId id) {
  if (!running.contains(id)) return;
  cancelled.push_back(id);
  ending_.push_back(id);
}

void FakeEngine::step(std::vector<EngineEvent> events) {
  for (const EngineEvent& e : events)
    if (e.end) running.erase(e.request);
  for (const RequestId id : std::exchange(ending_, {}))
    if (running.erase(id)) events.push_back(event(id, {}, EndReason::Cancelled));
  if (!events.empty()) handler_(std::move(events));
  if (after_step) after_step();
}

void FakeEngine::say(RequestId id, std::string_view text, EndReason reason) {
  for (const int32_t byte : bytes_as_ids(text)) step({event(id, {byte})});
  if (reason == EndReason::Stop)
    step({event(id, {end_token}, reason)});
  else
    step({event(id, {}, reason)});
}

void FakeEngine::end(RequestId id, EndReason reason, std::string message) {
  EngineEvent e = event(id, {}, reason);
  e.end->message = std::move(message);
  step({std::move(e)});
}

ScoredToken token(int32_t id) {
  ScoredToken t;
  t.id = id;
  return t;
}

EngineEvent event(RequestId id, std::vector<int32_t> tokens, std::optional<EndReason> end) {
  EngineEvent e;
  e.request = id;
  for (const int32_t t : tokens) e.tokens.push_back(token(t));
  if (end) {
    e.end.emplace();
    e.end->reason = *end;
    e.end->bill.queue_seconds = 0.001;
    e.end->bill.prefill_seconds = 0.002;
    e.end->bill.decode_seconds = 0.003;
    e.end->bill.cached_tokens = 2;
  }
  return e;
}

void FakeExchange::respond(HttpResponse r) {
  EXPECT_FALSE(complete() || begun) << "answered twice";
  response = std::move(r);
  gone_ = nullptr;
}

void FakeExchange::begin_stream(HeaderFields more) {
  EXPECT_FALSE(complete() || begun);
  begun = true;
  stream_headers = std::move(more);
}

void FakeExchange::send(std::string_view events) {
  EXPECT_TRUE(begun && !finished);
  EXPECT_TRUE(events.ends_with("\n\n")) << "whole events only";
  sends.emplace_back(events);
  stream += events;
}

void FakeExchange::finish() {
  EXPECT_TRUE(begun && !finished);
  finished = true;
  gone_ = nullptr;
}

void FakeExchange::leave() {
  if (const auto handler = std::exchange(gone_, nullptr)) handler();
}

std::vector<Tree> FakeExchange::events() const {
  std::vector<Tree> list;
  size_t at = 0;
  bool done = false;
  while (at < stream.size()) {
    const size_t end = stream.find("\n\n", at);
    const std::string line = stream.substr(at, end - at);
    at = end + 2;
    EXPECT_EQ(line.find('\n'), std::string::npos);
    if (line.starts_with(":")) continue;
    EXPECT_FALSE(done) << "an event behind [DONE]";
    EXPECT_TRUE(line.starts_with("data: "));
    if (line == "data: [DONE]")
      done = true;
    else
      list.push_back(Tree::parse(line.substr(6)));
  }
  EXPECT_EQ(done, finished);
  return list;
}

Bench::Bench(ServiceOptions options, ServedModel model) {
  options.now = [] { return int64_t{1800000000}; };
  options.on_record = [this](const RequestRecord& record) { records.push_back(record); };
  service = std::make_unique<OpenAiService>(std::move(model), engine, loop, std::move(options));
  routes = service->routes();
  engine.after_step = [this] {
    if (keeps_pace) loop.run();
  };
}

std::shared_ptr<FakeExchange> Bench::post(const std::string& path, const std::string& body, std::string key) {
  HttpRequest request;
  request.method = "POST";
  request.path = path;
  request.body = body;
  request.id = "req-1";
  request.key = std::move(key);
  auto exchange = std::make_shared<FakeExchange>(std::move(request));
  for (const Route& route : routes)
    if (route.method == "POST" && route.path == path) {
      route.handler(exchange);
      return exchange;
    }
  ADD_FAILURE() << "no route " << path;
  return exchange;
}

std::shared_ptr<FakeExchange> Bench::get(const std::string& path) {
  HttpRequest request;
  request.method = "GET";
  request.path = path;
  auto exchange = std::make_shared<FakeExchange>(std::move(request));
  for (const Route& route : routes) {
    const bool rest = route.path.ends_with("/*") && path.starts_with(route.path.substr(0, route.path.size() - 1));
    if (route.method == "GET" && (route.path == path || rest)) {
      route.handler(exchange);
      return exchange;
    }
  }
  ADD_FAILURE() << "no route " << path;
  return exchange;
}

std::shared_ptr<FakeExchange> Bench::chat(const std::string& more, const std::string& text) {
  Tree body = Tree::parse("{" + more + "}");
  if (!body.contains("messages")) body["messages"] = Tree::array({{{"role", "user"}, {"content", text}}});
  return post("/v1/chat/completions", body.dump());
}

std::shared_ptr<FakeExchange> Bench::complete(const std::string& more, const std::string& prompt) {
  return post("/v1/completions", "{\"prompt\":" + prompt + (more.empty() ? "" : "," + more) + "}");
}

std::string streamed_text(const std::vector<Tree>& chunks, int index) {
  std::string text;
  for (const Tree& chunk : chunks)
    for (const Tree& choice : chunk.at("choices")) {
      if (choice.at("index") != index) continue;
      if (choice.contains("delta"))
        text += choice.at("delta").value("content", std::string());
      else
        text += choice.at("text").get<std::string>();
    }
  return text;
}

}  // namespace infernum::server::testing
