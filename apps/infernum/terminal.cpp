#include "terminal.h"

#include <histedit.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <filesystem>
#include <iostream>

#include "session.h"

namespace infernum::app {
namespace {

namespace fs = std::filesystem;

/// Reads one character of UTF-8. Ctrl-C ends the line: libedit itself would either ignore it or end the program.
int read_character(EditLine*, wchar_t* out) {
  std::mbstate_t state{};
  for (;;) {
    // The signal may come to another thread, or just before the wait: so the wait is short.
    pollfd input{0, POLLIN, 0};
    while (!Interruptible::interrupted() && ::poll(&input, 1, 100) <= 0) continue;
    if (Interruptible::interrupted()) {
      *out = L'\n';
      return 1;
    }
    char byte;
    const ssize_t n = ::read(0, &byte, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return static_cast<int>(n);
    const size_t used = std::mbrtowc(out, &byte, 1, &state);
    if (used == static_cast<size_t>(-1))
      state = {};  // no UTF-8: dropped
    else if (used != static_cast<size_t>(-2))
      return 1;
  }
}

/// $XDG_STATE_HOME/infernum/history, its folder made; "" where that is impossible.
std::string history_file() {
  const char *state = std::getenv("XDG_STATE_HOME"), *home = std::getenv("HOME");
  if ((!state || !*state) && (!home || !*home)) return "";
  const fs::path folder = fs::path(state && *state ? state : std::string(home) + "/.local/state") / "infernum";
  std::error_code error;
  if (fs::create_directories(folder, error)) fs::permissions(folder, fs::perms::owner_all, error);
  return fs::is_directory(folder, error) ? (folder / "history").string() : "";
}

char* prompt(EditLine*) {
  static char text[] = ">>> ";
  return text;
}
char* continued(EditLine*) {
  static char text[] = "... ";
  return text;
}

}  // namespace

struct Lines::Editor {
  struct End {
    void operator()(EditLine* e) const { el_end(e); }
    void operator()(History* h) const { history_end(h); }
  };
  std::unique_ptr<History, End> history;
  std::unique_ptr<EditLine, End> edit;
  std::string file;

  explicit Editor(bool keep_history) : history(history_init()), edit(el_init("infernum", stdin, stdout, stderr)) {
    HistEvent event;
    ::history(history.get(), &event, H_SETSIZE, 1000);
    ::history(history.get(), &event, H_SETUNIQUE, 1);
    el_set(edit.get(), EL_EDITOR, "emacs");
    el_set(edit.get(), EL_SIGNAL, 0);
    el_set(edit.get(), EL_GETCFN, read_character);
    el_set(edit.get(), EL_HIST, ::history, history.get());
    el_source(edit.get(), nullptr);
    if (keep_history) file = history_file();
    if (!file.empty()) ::history(history.get(), &event, H_LOAD, file.c_str());
  }

  /// Saved at once, so that nothing is lost however the program ends.
  void remember(const char* text) {
    HistEvent event;
    ::history(history.get(), &event, H_ENTER, text);
    if (file.empty()) return;
    ::history(history.get(), &event, H_SAVE, file.c_str());
    std::error_code error;
    fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write, error);
  }
};

Lines::Lines(bool keep_history) {
  if (isatty(0) && isatty(1)) editor_ = std::make_unique<Editor>(keep_history);
}
Lines::~Lines() = default;

bool Lines::terminal() const { return editor_ != nullptr; }
bool Lines::interrupted() const { return interrupts_ > 1; }

std::optional<std::string> Lines::line(bool first) {
  std::string text;
  dropped_ = false;
  if (!editor_) {
    if (!std::getline(std::cin, text)) return {};
    return text;
  }
  el_set(editor_->edit.get(), EL_PROMPT, first ? prompt : continued);
  const Interruptible guard;
  int length = 0;
  const char* got = el_gets(editor_->edit.get(), &length);
  if (Interruptible::interrupted()) {
    std::fputc('\n', stdout);
    const bool empty = first && length <= 1;  // read_character() put a newline after what was typed
    interrupts_ = empty ? interrupts_ + 1 : 0;
    if (interrupts_ == 1) std::fputs("Ctrl-C again, Ctrl-D or /bye leaves\n", stderr);
    dropped_ = true;
    return {};
  }
  if (!got || length <= 0) return {};
  interrupts_ = 0;
  text.assign(got, static_cast<size_t>(length));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (!text.empty()) editor_->remember((text + "\n").c_str());
  return text;
}

std::optional<std::string> Lines::message() {
  for (;;) {
    auto text = line(true);
    std::string message;
    if (text && text->rfind("\"\"\"", 0) == 0) {
      *text = text->substr(3);
      for (bool open = true; text && open;) {
        const auto end = text->find("\"\"\"");
        open = end == std::string::npos;
        message += text->substr(0, end) + (open ? "\n" : "");
        if (open) text = line(false);
      }
      if (!message.empty() && message[0] == '\n') message.erase(0, 1);
      while (!message.empty() && message.back() == '\n') message.pop_back();
      // The end of a pipe closes a block; Ctrl-C drops it.
      if (text || !dropped_) return message;
    } else if (text) {
      return text;
    }
    if (!dropped_ || interrupted()) return {};
  }
}

}  // namespace infernum::app
