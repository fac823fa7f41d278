// `infernum run`: one answer to a prompt, or a chat in the terminal.
#include <unistd.h>

#include <cctype>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <utility>

#include "checkpoint/text_file.h"
#include "core/check.h"
#include "core/device_error.h"
#include "options.h"
#include "runtime/default_sampling.h"
#include "runtime/generator.h"
#include "runtime/sampler.h"
#include "session.h"
#include "terminal.h"
#include "text/load_text.h"
#include "text/unicode.h"
#include "values.h"

namespace infernum::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t longest_template = 4 << 20;

/// What the user gave, else what the checkpoint recommends, else the default.
SamplingParams sampling_of(const RunFlags& flags, const Checkpoint& checkpoint) {
  SamplingParams s = with_default_sampling(checkpoint, flags.sampling, flags.given);
  if (s.seed == 0) s.seed = std::random_device{}() | uint64_t{std::random_device{}()} << 32;
  return s;
}

void print_stats(const Generation& g, const GenerationRequest& request, double load_seconds, int64_t cache_bytes) {
  const auto generated = static_cast<double>(g.tokens.size()),
             prompt = static_cast<double>(request.prompt.size()) - static_cast<double>(g.cached_tokens);
  const double decode = g.total_seconds - g.first_token_seconds;
  std::fprintf(stderr, "prompt      %zu tokens (%lld cached), %.1f tokens/s\n", request.prompt.size(),
               static_cast<long long>(g.cached_tokens), g.first_token_seconds > 0 ? prompt / g.first_token_seconds : 0.);
  std::fprintf(stderr, "generated   %zu tokens, %.1f tokens/s\n", g.tokens.size(), decode > 0 ? (generated - 1) / decode : 0.);
  std::fprintf(stderr, "first token %.1f ms after the prompt%s\n", g.first_token_seconds * 1e3,
               load_seconds > 0
                   ? (", " + std::to_string(static_cast<int>((load_seconds + g.first_token_seconds) * 1e3)) + " ms after the start").c_str()
                   : "");
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
        generator_(*session_.model, tokenizer_, {.cache_tokens = cache_tokens(*session_.model)}),
        sampling_(sampling_of(flags, session_.checkpoint)),
        stop_ids_(end_of_generation_ids(session_.checkpoint, tokenizer_)) {
    if (!flags.raw) {
      if (!flags.chat_template_file.empty())
        chat_.emplace(session_.checkpoint, tokenizer_, read_text_file(flags.chat_template_file, longest_template));
      else if (Chat::available(session_.checkpoint))
        chat_.emplace(session_.checkpoint, tokenizer_);
    }
    clear();
    load_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  bool has_template() const { return chat_.has_value(); }

  void clear() {
    messages_ = Json::array();
    if (!flags_.system.empty()) messages_.push_back({{"role", "system"}, {"content", flags_.system}});
  }

  /// Prints the answer as it comes; 130 if it was interrupted. Bytes of the prompt that are not UTF-8 become U+FFFD.
  int answer(const std::string& bytes) {
    const std::string prompt = text::to_valid_utf8(bytes);
    GenerationRequest request;
    if (chat_) {
      messages_.push_back({{"role", "user"}, {"content", prompt}});
      request.prompt = chat_->encode(messages_);
    } else {
      request.prompt = encode_plain(session_.checkpoint, tokenizer_, prompt);
    }
    request.sampling = sampling_;
    request.stop = flags_.stop;
    request.stop_ids = stop_ids_;
    request.max_tokens = flags_.max_tokens;
    // The text that --raw continues stands before it, once the model has shown that it can.
    std::string before = chat_ ? "" : printable(prompt);
    const Interruptible guard;
    try {
      const auto print = [&before](size_t, const std::string& text) {
        std::fputs((std::exchange(before, "") + printable(text)).c_str(), stdout);
        std::fflush(stdout);
        return !Interruptible::interrupted();
      };
      last_ = std::move(generator_.run({request}, print)[0]);
    } catch (const Error& e) {
      if (chat_) messages_.erase(messages_.size() - 1);
      if (dynamic_cast<const NotFinite*>(&e)) explain(e, request);
      throw;
    }
    std::fputs((before + "\n").c_str(), stdout);
    std::fflush(stdout);
    if (chat_) messages_.push_back({{"role", "assistant"}, {"content", last_.text}});
    if (flags_.stats) print_stats(last_, request, load_seconds_, generator_.cache_bytes());
    last_request_ = std::move(request);
    if (first_) load_seconds_ = 0;
    first_ = false;
    return Interruptible::interrupted() ? 130 : 0;
  }

  void stats() const {
    if (last_request_.prompt.empty())
      std::fputs("nothing was generated yet\n", stderr);
    else
      print_stats(last_, last_request_, 0, generator_.cache_bytes());
  }
  void set_system(const std::string& text) {
    flags_.system = text;
    clear();
  }

 private:
  /// Throws `e` with the first layer that computed something that is no number, if one did.
  void explain(const Error& e, const GenerationRequest& request) {
    std::string first;
    session_.model->observe([&](std::string_view name, const std::vector<int64_t>&, const std::vector<float>& values) {
      if (first.empty() && !std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); })) first = name;
    });
    try {
      generator_.run({request});
    } catch (const Error&) {}
    session_.model->observe({});
    if (first.empty()) return;
    const std::string place = first == "hidden0" ? "the embedding" : "layer " + std::to_string(std::stoi(first.substr(6)) - 1);
    throw Error(std::string(e.what()) + "; the first values that are not finite come out of " + place);
  }

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

constexpr const char* help_text =
    "/help            this text\n"
    "/clear           forget the conversation\n"
    "/system TEXT     start over with this system message\n"
    "/stats           tokens, speed and memory of the last answer\n"
    "/bye             leave (also Ctrl-D)\n"
    "\"\"\"              begins and ends a message of several lines\n"
    "Ctrl-C           stops the answer\n";

/// A line that begins with / and a word, such as "/help"; "/usr/bin is what?" is a message.
bool is_command(const std::string& message) {
  if (message[0] != '/') return false;
  const size_t end = std::min(message.find(' '), message.size());
  return end > 1 && std::all_of(message.begin() + 1, message.begin() + static_cast<std::ptrdiff_t>(end),
                                [](unsigned char c) { return std::isalpha(c); });
}

/// False when the chat is over.
bool obey(Talk& talk, const std::string& message) {
  const std::string command = message.substr(0, message.find(' '));
  const std::string rest = command.size() < message.size() ? message.substr(command.size() + 1) : "";
  if (command == "/bye") return false;
  if (command == "/help")
    std::fputs(help_text, stderr);
  else if (command == "/clear")
    talk.clear();
  else if (command == "/stats")
    talk.stats();
  else if (command == "/system")
    talk.set_system(rest);
  else {
    const std::string best = nearest(command, {"/help", "/clear", "/system", "/stats", "/bye"});
    std::fprintf(stderr, "no such command: %s%s (/help lists them)\n", command.c_str(),
                 best.empty() ? "" : ("; did you mean " + best + "?").c_str());
  }
  return true;
}

int chat_loop(Talk& talk, bool keep_history) {
  Lines lines(keep_history);
  std::optional<Interruptible> guard;  // between an answer and the next prompt Ctrl-C does nothing
  if (lines.terminal()) {
    guard.emplace();
    std::fputs("Type a message, /help for the commands.\n", stderr);
  }
  while (auto message = lines.message()) {
    if (message->empty()) continue;
    if (is_command(*message)) {
      if (!obey(talk, *message)) break;
      continue;
    }
    try {
      talk.answer(*message);
    } catch (const DeviceLost&) {
      throw;  // no later answer can be had
    } catch (const Error& e) {
      std::fprintf(stderr, "error: %s\n", e.what());
    }
  }
  return lines.interrupted() ? 130 : 0;
}

}  // namespace

int run(const RunFlags& flags) {
  const auto start = std::chrono::steady_clock::now();
  RunFlags f = flags;
  // One argument alone may be a prompt for the bundled model.
  if (!f.prompt_given && !f.model.empty() && !std::filesystem::exists(f.model) && f.model.find_first_of(" \n") != std::string::npos) {
    std::swap(f.model, f.prompt);
    f.prompt_given = true;
  }
  const bool piped = stdin_is_piped() && !f.interactive;
  if (piped) {
    const std::string text = read_stdin();
    if (f.prompt_given && !f.raw && !text.empty() && !f.prompt.empty()) f.prompt += "\n";
    f.prompt += text;
  }
  const bool one_shot = f.prompt_given || (!isatty(0) && !f.interactive);
  check(!one_shot || !f.prompt.empty(), "run: the prompt is empty; give one as an argument or on standard input");
  Talk talk(f, start);
  if (one_shot) return talk.answer(f.prompt);
  check(talk.has_template() || f.raw,
        "run: this model has no chat template; give a prompt, or --chat-template FILE, or --raw to complete plain text");
  return chat_loop(talk, !f.no_history);
}

}  // namespace infernum::app
