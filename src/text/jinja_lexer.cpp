// Splits template source into text and the tokens of blocks and expressions.
#include "text/jinja_lexer.h"

#include <algorithm>
#include <charconv>

#include "text/chat_template_limits.h"
#include "text/jinja_text.h"

namespace infernum::jinja {
namespace {

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}
bool is_decimal(char c) { return c >= '0' && c <= '9'; }

/// Every line end becomes \n, and one at the very end is dropped.
std::string normalize(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); i++) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') i++;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalize(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) root();
    push(TokenKind::End, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& message) const { throw TemplateError(line_, message); }
  void push(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  bool starts(std::string_view what, size_t at) const { return source_.compare(at, what.size(), what) == 0; }
  void move_to(size_t to) {
    line_ += static_cast<int>(
        std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_), source_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    at_ = to;
  }
  size_t skip_blanks(size_t at) const {
    while (at < source_.size()) {
      size_t next = at;
      if (!is_space(decode(source_, next))) break;
      at = next;
    }
    return at;
  }

  /// Text up to the next tag, then the tag's beginning.
  void root() {
    size_t open = source_.find('{', at_);
    while (open != std::string::npos && !starts("{{", open) && !starts("{%", open) && !starts("{#", open))
      open = source_.find('{', open + 1);
    if (open == std::string::npos) {
      text_until(source_.size(), ' ', false);
      return move_to(source_.size());
    }
    const char kind = source_[open + 1];
    size_t after = open + 2;
    const char sign = after < source_.size() && (source_[after] == '-' || source_[after] == '+') ? source_[after++] : ' ';
    text_until(open, sign, kind != '{');
    move_to(after);
    if (kind == '#') return comment();
    if (kind == '{') return expression(TokenKind::VariableBegin, TokenKind::VariableEnd, "}}");
    if (!raw()) expression(TokenKind::BlockBegin, TokenKind::BlockEnd, "%}");
  }

  /// `-` strips all white space before the tag; a block that starts its line (lstrip_blocks) takes the blanks before it unless `+`.
  void text_until(size_t open, char sign, bool is_block) {
    const std::string_view all = std::string_view(source_).substr(at_, open - at_);
    size_t keep = all.size();
    if (sign == '-') {
      keep = strip(Text(all), nullptr, false, true).size();
    } else if (sign != '+' && is_block) {
      const size_t newline = all.rfind('\n');
      const size_t from = newline == std::string_view::npos ? 0 : newline + 1;
      const bool starts_line = from > 0 || at_ == 0 || source_[at_ - 1] == '\n';
      if (starts_line && skip_blanks(at_ + from) >= open) keep = from;
    }
    if (keep) push(TokenKind::Text, std::string(all.substr(0, keep)));
  }

  /// At the end of a block or comment whose closing bracket is at `close`: moves past it and the white space it takes.
  void end_block(size_t close, size_t content) {
    const char sign = close > content ? source_[close - 1] : ' ';
    size_t after = close + 2;
    if (sign == '-')
      after = skip_blanks(after);
    else if (sign != '+' && after < source_.size() && source_[after] == '\n')
      after++;
    move_to(after);
  }

  void comment() {
    const size_t close = source_.find("#}", at_);
    if (close == std::string::npos) fail("missing end of comment tag");
    end_block(close, at_);
  }

  /// After `{%`: whether this is a raw block, and if so emits its text.
  bool raw() {
    size_t at = skip_blanks(at_);
    if (!starts("raw", at)) return false;
    at = skip_blanks(at + 3);
    if (starts("-%}", at))
      at = skip_blanks(at + 3);
    else if (starts("%}", at))
      at += 2;
    else
      return false;
    move_to(at);
    for (size_t open = source_.find("{%", at_); open != std::string::npos; open = source_.find("{%", open + 2)) {
      size_t after = open + 2;
      const char sign = after < source_.size() && (source_[after] == '-' || source_[after] == '+') ? source_[after++] : ' ';
      const size_t word = skip_blanks(after);
      if (!starts("endraw", word)) continue;
      size_t close = skip_blanks(word + 6);
      if (close < source_.size() && (source_[close] == '-' || source_[close] == '+')) close++;
      if (!starts("%}", close)) continue;
      text_until(open, sign, true);
      move_to(word + 6);
      end_block(close, at_);
      return true;
    }
    fail("missing end of raw block");
  }

  void expression(TokenKind begin, TokenKind end, std::string_view close) {
    push(begin, "");
    std::string brackets;
    for (;;) {
      move_to(skip_blanks(at_));
      if (at_ >= source_.size()) fail("unexpected end of template inside a tag");
      if (brackets.empty() && ends_here(end, close)) return;
      const char c = source_[at_];
      if (is_decimal(c))
        number();
      else if (is_word(c))
        name();
      else if (c == '"' || c == '\'')
        string(c);
      else
        bracket_or_operator(brackets);
    }
  }

  bool ends_here(TokenKind end, std::string_view close) {
    const bool signed_end = source_[at_] == '-' || (source_[at_] == '+' && end == TokenKind::BlockEnd);
    const size_t at = at_ + (signed_end ? 1 : 0);
    if (!starts(close, at)) return false;
    push(end, "");
    if (end == TokenKind::BlockEnd)
      end_block(at, at_);
    else
      move_to(signed_end ? skip_blanks(at + 2) : at + 2);
    return true;
  }

  void name() {
    size_t end = at_;
    while (end < source_.size() && is_word(source_[end])) end++;
    push(TokenKind::Name, source_.substr(at_, end - at_));
    at_ = end;
  }

  /// Digits with single underscores between them.
  size_t digits(size_t at, std::string& out, std::string_view set = "0123456789") const {
    auto in = [&](size_t i) { return i < source_.size() && set.find(source_[i]) != std::string_view::npos; };
    while (in(at) || (!out.empty() && at < source_.size() && source_[at] == '_' && in(at + 1))) {
      if (source_[at] != '_') out += source_[at];
      at++;
    }
    return at;
  }

  void number() {
    std::string text, part;
    const char kind = at_ + 1 < source_.size() ? static_cast<char>(source_[at_ + 1] | 0x20) : ' ';
    const int base = source_[at_] != '0' ? 10 : kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
    if (base != 10) {
      const size_t end =
          digits(at_ + 2, part, std::string_view("0123456789abcdefABCDEF").substr(0, base == 16 ? 22 : static_cast<size_t>(base)));
      unsigned long long value = 0;
      if (part.empty() || std::from_chars(part.data(), part.data() + part.size(), value, base).ec != std::errc() || value >> 63)
        fail("bad number");
      push(TokenKind::Integer, std::to_string(value));
      at_ = end;
      return;
    }
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';  // x.0.1 reads two positions
    size_t end = digits(at_, text);
    bool real = false;
    if (!after_dot && end + 1 < source_.size() && source_[end] == '.' && is_decimal(source_[end + 1])) {
      real = true;
      end = digits(end + 1, part);
      text += '.' + part;
    }
    if (!after_dot && end < source_.size() && (source_[end] | 0x20) == 'e') {
      size_t at = end + 1;
      std::string sign, power;
      if (at < source_.size() && (source_[at] == '+' || source_[at] == '-')) sign = source_[at++];
      at = digits(at, power);
      if (!power.empty()) real = true, end = at, text += 'e' + sign + power;
    }
    push(real ? TokenKind::Float : TokenKind::Integer, text);
    at_ = end;
  }

  void string(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail("a string has no end");
    const std::string_view body = std::string_view(source_).substr(at_ + 1, end - at_ - 1);
    push(TokenKind::String, unescape(body));
    move_to(end + 1);
  }

  /// \xNN, \uNNNN, \UNNNNNNNN: the code and how many digits it took; a short one is an error as in Python.
  char32_t hex(std::string_view body, size_t at, size_t count) const {
    unsigned value = 0;
    const std::string_view part = body.substr(std::min(at, body.size()), count);
    const auto read = std::from_chars(part.data(), part.data() + part.size(), value, 16);
    if (part.size() < count || read.ec != std::errc() || read.ptr != part.data() + part.size() || value > 0x10FFFF)
      fail("bad escape in a string: \\" + std::string(body.substr(at - 1, count + 1)));
    return value;
  }

  std::string unescape(std::string_view body) const {
    static constexpr std::string_view names = "abfnrtv\\'\"", codes = "\a\b\f\n\r\t\v\\'\"";
    std::string out;
    for (size_t i = 0; i < body.size(); i++) {
      if (body[i] != '\\' || i + 1 >= body.size()) {
        out += body[i];
        continue;
      }
      const char c = body[++i];
      const size_t count = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
      if (const size_t at = names.find(c); at != std::string_view::npos) {
        out += codes[at];
      } else if (count) {
        char32_t code = hex(body, i + 1, count);
        i += count;
        if (code >= 0xD800 && code < 0xDC00 && body.substr(i + 1, 2) == "\\u") {  // a surrogate pair spells one character
          const char32_t low = hex(body, i + 3, 4);
          if (low >= 0xDC00 && low < 0xE000) code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00), i += 6;
        }
        out += encode(code);
      } else if (c >= '0' && c <= '7') {
        char32_t code = 0;
        size_t n = 0;
        for (; n < 3 && i + n < body.size() && body[i + n] >= '0' && body[i + n] <= '7'; n++)
          code = code * 8 + static_cast<char32_t>(body[i + n] - '0');
        i += n - 1;
        out += encode(code);
      } else if (c != '\n') {
        (out += '\\') += c;
      }
    }
    return out;
  }

  void bracket_or_operator(std::string& brackets) {
    static constexpr std::string_view two[] = {"//", "**", "==", "!=", ">=", "<="};
    for (auto op : two)
      if (starts(op, at_)) {
        push(TokenKind::Operator, std::string(op));
        at_ += 2;
        return;
      }
    const char c = source_[at_];
    if (std::string_view("+-/*%~[](){}><=.:|,").find(c) == std::string_view::npos) fail(std::string("unexpected character '") + c + "'");
    if (c == '(' || c == '[' || c == '{') brackets += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (brackets.empty() || brackets.back() != c) fail(std::string("unexpected '") + c + "'");
      brackets.pop_back();
    }
    push(TokenKind::Operator, std::string(1, c));
    at_++;
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace infernum::jinja
