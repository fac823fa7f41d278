// `infernum run`: one answer to a prompt, or a chat in the terminal.
#include <histedit.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

#include "core/check.h"
#include "models/config_reader.h"
#include "options.h"
#include "runtime/generator.h"
#include "session.h"
#include "text/load_text.h"

namespace infernum::app {
namespace {

using Json = nlohmann::ordered_json;

/// The checkpoint's own defaults for what the user left open.
SamplingParams sampling_of(const RunFlags& flags, const Checkpoint& checkpoint) {
  SamplingParams s = flags.sampling;
  if (flags.greedy_default && !checkpoint.generation_config_json.empty()) {
    const ConfigReader g(checkpoint.generation_config_json);
    if (g.boolean("do_sample").value_or(false)) {
      s.temperature = static_cast<float>(g.number("temperature").value_or(1));
      s.top_p = static_cast<float>(g.number("top_p").value_or(1));
      s.top_k = static_cast<int>(g.integer("top_k").value_or(0));
      s.min_p = static_cast<float>(g.number("min_p").value_or(0));
    }
    s.repetition_penalty = static_cast<float>(g.number("repetition_penalty").value_or(1));
  }
  if (s.seed == 0) s.seed = std::random_device{}() | uint64_t{std::random_device{}()} << 32;
  return s;
}

void print_stats(const Generation& g, const GenerationRequest& request, double load_seconds, int64_t cache_bytes) {
  const auto generated = static_cast<double>(g.tokens.size()), prompt = static_cast<double>(request.prompt.size()) - static_cast<double>(g.cached_tokens);
  const double decode = g.total_seconds - g.first_token_seconds;
  std::fprintf(stderr, "prompt      %zu tokens (%lld cached), %.1f tokens/s\n", request.prompt.size(), static_cast<long long>(g.cached_tokens),
               prompt / g.first_token_seconds);
  std::fprintf(stderr, "generated   %zu tokens, %.1f tokens/s\n", g.tokens.size(), decode > 0 ? (generated - 1) / decode : 0.);
  std::fprintf(stderr, "first token %.1f ms after the prompt%s\n", g.first_token_seconds * 1e3,
               load_seconds > 0 ? (", " + std::to_string(static_cast<int>((load_seconds + g.first_token_seconds) * 1e3)) + " ms after the start").c_str() : "");
  std::fprintf(stderr, "memory      %s peak, of it %s key-value cache reserved\n", human_bytes(static_cast<double>(peak_memory())).c_str(),
               human_bytes(static_cast<double>(cache_bytes)).c_str());
}

/// One conversation with a loaded model.
class Talk {
 public:
  Talk(const RunFlags& flags, std::chrono::steady_clock::time_point start)
      : flags_(flags),
        session_(flags),
        tokenizer_(load_tokenizer(session_.checkpoint)),
        generator_(*session_.model, tokenizer_, {.cache_tokens = cache_tokens(session_.model->info())}),
        sampling_(sampling_of(flags, session_.checkpoint)),
        stop_ids_(end_of_generation_ids(session_.checkpoint, tokenizer_)) {
    if (!flags.raw) {
      if (!flags.chat_template_file.empty()) chat_.emplace(session_.checkpoint, tokenizer_, read_text_file(flags.chat_template_file));
      else if (Chat::available(session_.checkpoint)) chat_.emplace(session_.checkpoint, tokenizer_);
    }
    clear();
    load_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  bool has_template() const { return chat_.has_value(); }

  void clear() {
    messages_ = Json::array();
    if (!flags_.system.empty()) messages_.push_back({{"role", "system"}, {"content", flags_.system}});
  }

  /// Prints the answer as it comes; 130 if it was interrupted.
  int answer(const std::string& prompt) {
    GenerationRequest request;
    if (chat_) {
      messages_.push_back({{"role", "user"}, {"content", prompt}});
      request.prompt = chat_->encode(messages_);
    } else {
      request.prompt = tokenizer_.encode(prompt);
      std::fputs(printable(prompt).c_str(), stdout);
    }
    request.sampling = sampling_;
    request.stop = flags_.stop;
    request.stop_ids = stop_ids_;
    request.max_tokens = flags_.max_tokens;
    const Interruptible guard;
    try {
      last_ = generator_.continue_with(request, [](size_t, const std::string& text) {
        std::fputs(printable(text).c_str(), stdout);
        std::fflush(stdout);
        return !Interruptible::interrupted();
      });
    } catch (...) {
      if (chat_) messages_.erase(messages_.size() - 1);
      throw;
    }
    std::fputc('\n', stdout);
    std::fflush(stdout);
    if (chat_) messages_.push_back({{"role", "assistant"}, {"content", last_.text}});
    if (flags_.stats) print_stats(last_, request, load_seconds_, generator_.cache_bytes());
    last_request_ = std::move(request);
    if (first_) load_seconds_ = 0;
    first_ = false;
    return Interruptible::interrupted() ? 130 : 0;
  }

  void stats() const {
    if (last_request_.prompt.empty()) std::fputs("nothing was generated yet\n", stderr);
    else print_stats(last_, last_request_, 0, generator_.cache_bytes());
  }
  void set_system(const std::string& text) {
    flags_.system = text;
    clear();
  }

 private:
  RunFlags flags_;
  Session session_;
  Tokenizer tokenizer_;
  Generator generator_;
  SamplingParams sampling_;
  std::vector<int32_t> stop_ids_;
  std::optional<Chat> chat_;
  Json messages_;
  Generation last_;
  GenerationRequest last_request_;
  double load_seconds_ = 0;
  bool first_ = true;
};

/// Lines from the terminal, with editing and a history file, or from a pipe.
class Lines {
 public:
  explicit Lines(bool keep_history) : terminal_(isatty(0) && isatty(1)) {
    if (!terminal_) return;
    edit_.reset(el_init("infernum", stdin, stdout, stderr));
    history_.reset(history_init());
    HistEvent event;
    history(history_.get(), &event, H_SETSIZE, 1000);
    el_set(edit_.get(), EL_PROMPT, +[](EditLine*) { return const_cast<char*>(">>> "); });
    el_set(edit_.get(), EL_EDITOR, "emacs");
    el_set(edit_.get(), EL_SIGNAL, 1);
    el_set(edit_.get(), EL_HIST, ::history, history_.get());
    el_source(edit_.get(), nullptr);
    if (!keep_history) return;
    const char *state = std::getenv("XDG_STATE_HOME"), *home = std::getenv("HOME");
    const std::filesystem::path folder = std::filesystem::path(state ? state : std::string(home ? home : "/tmp") + "/.local/state") / "infernum";
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) return;
    file_ = folder / "history";
    history(history_.get(), &event, H_LOAD, file_.c_str());
  }
  ~Lines() {
    if (file_.empty()) return;
    HistEvent event;
    history(history_.get(), &event, H_SAVE, file_.c_str());
    std::error_code error;
    std::filesystem::permissions(file_, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write, error);
  }
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;

  /// Nothing at the end of the input.
  std::optional<std::string> next() {
    std::string line;
    if (!terminal_) {
      if (!std::getline(std::cin, line)) return {};
      return line;
    }
    int length = 0;
    const char* text = el_gets(edit_.get(), &length);
    if (!text || length <= 0) return {};
    line.assign(text, static_cast<size_t>(length));
    HistEvent event;
    if (line != "\n") history(history_.get(), &event, H_ENTER, line.c_str());
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
    return line;
  }
  bool terminal() const { return terminal_; }

 private:
  struct End {
    void operator()(EditLine* e) const { el_end(e); }
    void operator()(History* h) const { history_end(h); }
  };
  bool terminal_;
  std::unique_ptr<History, End> history_;
  std::unique_ptr<EditLine, End> edit_;
  std::string file_;
};

constexpr const char* help_text =
    "/help            this text\n"
    "/clear           forget the conversation\n"
    "/system TEXT     start over with this system message\n"
    "/stats           tokens, speed and memory of the last answer\n"
    "/bye             leave (also Ctrl-D)\n"
    "\"\"\"              begins and ends a message of several lines\n"
    "Ctrl-C           stops the answer\n";

/// A line, or what stands between two lines of """.
std::optional<std::string> read_message(Lines& lines) {
  auto line = lines.next();
  if (!line || line->rfind("\"\"\"", 0) != 0) return line;
  std::string message = line->substr(3);
  while ((line = lines.next())) {
    if (const auto end = line->find("\"\"\""); end != std::string::npos) return message + "\n" + line->substr(0, end);
    message += "\n" + *line;
  }
  return message;
}

int chat_loop(Talk& talk, bool keep_history) {
  Lines lines(keep_history);
  if (lines.terminal()) std::fputs("Type a message, /help for the commands.\n", stderr);
  while (const auto message = read_message(lines)) {
    if (message->empty()) continue;
    if (*message == "/bye") break;
    if (*message == "/help") std::fputs(help_text, stderr);
    else if (*message == "/clear") talk.clear();
    else if (*message == "/stats") talk.stats();
    else if (message->rfind("/system", 0) == 0 && (message->size() == 7 || (*message)[7] == ' ')) talk.set_system(message->size() > 8 ? message->substr(8) : "");
    else if ((*message)[0] == '/' && message->find(' ') == std::string::npos) std::fprintf(stderr, "no such command: %s (/help lists them)\n", message->c_str());
    else
      try {
        talk.answer(*message);
      } catch (const Error& e) {
        std::fprintf(stderr, "error: %s\n", e.what());
      }
  }
  return 0;
}

}  // namespace

int run(const RunFlags& flags) {
  const auto start = std::chrono::steady_clock::now();
  RunFlags f = flags;
  // One argument alone may be a prompt for the bundled model.
  if (f.prompt.empty() && !f.model.empty() && !std::filesystem::exists(f.model) && f.model.find(' ') != std::string::npos) std::swap(f.model, f.prompt);
  if (!f.prompt.empty() && stdin_is_piped()) f.prompt += read_stdin();
  Talk talk(f, start);
  if (!f.prompt.empty()) return talk.answer(f.prompt);
  if (!isatty(0) && !f.interactive) {
    const std::string text = read_stdin();
    check(!text.empty(), "run: no prompt was given, neither as an argument nor on standard input");
    return talk.answer(text);
  }
  check(talk.has_template() || f.raw, "run: this model has no chat template; give a prompt, or --chat-template FILE, or --raw to complete plain text");
  return chat_loop(talk, !f.no_history);
}

}  // namespace infernum::app
