// Text of the template interpreter: UTF-8 bytes that remember which of them came from the request.
// A marker the template writes may become a control token; the same bytes inside a message never may.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace infernum::jinja {

struct Text {
  struct Range {
    size_t begin, end;  // bytes
  };
  std::string bytes;
  std::vector<Range> input;  // what came from the request: sorted, disjoint, not touching, not empty
  bool markup = false;       // from `safe` or `escape`: joined to other text by +, that text is HTML-escaped (as Jinja does)

  Text() = default;
  explicit Text(std::string_view text, bool from_input = false) { append(text, from_input); }

  size_t size() const { return bytes.size(); }
  bool empty() const { return bytes.empty(); }
  bool has_input() const { return !input.empty(); }
  bool has_input(size_t begin, size_t end) const;
  void append(std::string_view text, bool from_input = false);
  void append(const Text& text) { append(text, 0, text.size()); }
  void append(const Text& text, size_t begin, size_t end);
  Text slice(size_t begin, size_t end) const;
};

/// Strings are immutable and shared.
using Str = std::shared_ptr<const Text>;

/// One code point, [begin, end) in bytes. A byte that is no UTF-8 counts as a code point of its own.
struct Character {
  size_t begin = 0, end = 0;
  char32_t code = 0;
  bool input = false;
};

/// Walks the code points of a text, which must outlive it.
class Characters {
 public:
  explicit Characters(const Text& text) : text_(text) {}
  bool next(Character& c);

 private:
  const Text& text_;
  size_t at_ = 0;
  size_t range_ = 0;
};

constexpr char32_t invalid_byte = 0xFFFFFFFF;  // the code of a byte that is no UTF-8

/// Decodes the code point at `at` and moves past it.
char32_t decode(std::string_view text, size_t& at);
std::string encode(char32_t code);
size_t count_characters(std::string_view text);

/// Byte offsets of all code points and the end: element i is where code point i begins.
std::vector<size_t> character_offsets(std::string_view text);

/// The classes of Python's str methods.
bool is_space(char32_t code);
bool is_printable(char32_t code);
bool is_letter(char32_t code);
bool is_digit(char32_t code);
bool is_upper(char32_t code);
bool is_lower(char32_t code);
bool is_line_end(char32_t code);

enum class Case { Upper, Lower };
void append_cased(Text& out, const Text& text, const Character& c, Case wanted);
Text to_case(const Text& text, Case wanted);
Text capitalize(const Text& text);

/// Words begin after anything that is no letter (str.title), or only after blanks and opening brackets (the filter).
enum class Words { Letters, Blanks };
Text to_title(const Text& text, Words words);

/// Without `characters`, white space is removed.
Text strip(const Text& text, const Text* characters, bool left, bool right);

/// What remains of `text` where every `from` became `to`, at most `count` times (< 0: all).
/// A replacement made inside input stays input.
Text replace(const Text& text, const Text& from, const Text& to, long long count, size_t max_bytes);

std::vector<Text> split(const Text& text, const Text* separator, long long max_splits);
std::vector<Text> split_from_right(const Text& text, const Text* separator, long long max_splits);
std::vector<Text> split_lines(const Text& text, bool keep_ends);

/// HTML-escaped, unless it is markup already; the result is markup.
Text escape_html(const Text& text);

/// Python's repr of a string.
void append_quoted(Text& out, const Text& text);

}  // namespace infernum::jinja
