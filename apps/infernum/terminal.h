// What the user types in a chat: lines from a terminal with editing and a history file, or from a pipe.
#pragma once
#include <memory>
#include <optional>
#include <string>

namespace infernum::app {

class Lines {
 public:
  explicit Lines(bool keep_history);
  ~Lines();

  /// The next message: a line, or what stands between two """. Nothing at the end of the input or after a second
  /// Ctrl-C in a row on an empty line; one on a line with text, or within """, drops what was typed.
  std::optional<std::string> message();

  bool terminal() const;
  bool interrupted() const;  ///< message() ended because of Ctrl-C

 private:
  struct Editor;
  std::optional<std::string> line(bool first);

  std::unique_ptr<Editor> editor_;  // none: a pipe
  int interrupts_ = 0;              // in a row on empty lines
  bool dropped_ = false;            // the last line(), by Ctrl-C
};

}  // namespace infernum::app
