// From Oniguruma's Ruby syntax to PCRE2's.
#define PCRE2_CODE_UNIT_WIDTH 8  // NOLINT(cppcoreguidelines-macro-usage): what pcre2.h asks for
#include <pcre2.h>

#include <cctype>

#include "core/check.h"
#include "text/regex.h"
#include "text/unicode.h"

namespace infernum::text {
namespace {

constexpr std::string_view word_classes = R"(\p{L}\p{M}\p{Nd}\p{Pc})";

constexpr std::string_view name_characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";

std::string wrap(std::string_view open, std::string_view text, std::string_view close) {
  std::string out(open);
  out += text;
  out += close;
  return out;
}

bool is_script(std::string_view name) {
  constexpr uint32_t longest_name = 32;
  if (name.size() < 3 || name.size() > longest_name || name.find_first_not_of(name_characters) != std::string_view::npos) return false;
  const std::string probe = wrap("\\p{sc:", name, "}");
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(probe.data()), probe.size(), PCRE2_UTF, &error, &offset, nullptr);
  pcre2_code_free(code);
  return code != nullptr;
}

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  std::string run() {
    check(in_.find("(*") == std::string_view::npos, "regex: (* is not supported", in_);
    while (at_ < in_.size()) step();
    return std::move(out_);
  }

 private:
  char peek(size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  bool done() const { return at_ >= in_.size(); }

  void step() {
    const char c = in_[at_];
    if (c == '\\') {
      atom_ = out_.size();
      const std::string text = escape(false);
      out_ += text;
    } else if (c == '[') {
      atom_ = out_.size();
      out_ += char_class(0);
    } else if (c == '(') {
      groups_.push_back(out_.size());
      out_ += c;
      ++at_;
      // A group's head is copied whole: its ? is no quantifier, and a name may hold anything.
      if (peek() == '?') {
        while (!done() && peek() != ':' && peek() != ')' && peek() != '=' && peek() != '!' && peek() != '>') out_ += in_[at_++];
        if (!done() && peek() != ')') out_ += in_[at_++];
      }
      atom_ = out_.size();
    } else if (c == ')') {
      atom_ = groups_.empty() ? out_.size() : groups_.back();
      if (!groups_.empty()) groups_.pop_back();
      out_ += c;
      ++at_;
    } else if (c == '{') {
      interval();
    } else {
      if (c != '*' && c != '+' && c != '?') atom_ = out_.size();
      const size_t bytes = utf8_bytes(c);
      out_ += in_.substr(at_, bytes);
      at_ += bytes;
    }
  }

  /// {m,n} followed by + repeats again in Ruby; PCRE2 would read a possessive interval.
  void interval() {
    const size_t close = in_.find('}', at_);
    const std::string_view body = close == std::string_view::npos ? std::string_view() : in_.substr(at_ + 1, close - at_ - 1);
    const bool quantifier = !body.empty() && body.find_first_not_of("0123456789,") == std::string_view::npos && body != ",";
    if (!quantifier) {
      atom_ = out_.size();
      out_ += "\\{";
      ++at_;
      return;
    }
    at_ = close + 1;
    out_ += wrap(body.front() == ',' ? "{0" : "{", body, "}");
    if (peek() == '+') {
      out_.insert(atom_, "(?:");
      out_ += ')';
    }
  }

  std::string hex_escape(size_t digits_at, size_t least, size_t most) {
    size_t end = digits_at;
    while (end < in_.size() && end < digits_at + most && std::isxdigit(static_cast<unsigned char>(in_[end]))) ++end;
    check(end >= digits_at + least, "regex: malformed hexadecimal escape", in_);
    at_ = end;
    return wrap("\\x{", in_.substr(digits_at, end - digits_at), "}");
  }

  /// One escape, as text for outside or inside of a class.
  std::string escape(bool in_class) {
    check(at_ + 1 < in_.size(), "regex: ends in a backslash", in_);
    const char c = in_[at_ + 1];
    const std::string words(word_classes);
    if (c == 'u') return hex_escape(at_ + 2, 4, 4);
    if (c == 'x' && peek(2) != '{') return hex_escape(at_ + 2, 1, 2);
    if ((c == 'x' || c == 'p' || c == 'P') && peek(2) == '{') {
      const size_t close = in_.find('}', at_);
      check(close != std::string_view::npos, "regex: { without }", in_);
      std::string text(in_.substr(at_, close + 1 - at_));
      at_ = close + 1;
      // A bare script name means the Script property in Ruby, Script_Extensions in PCRE2.
      const size_t name = text.size() > 3 && text[3] == '^' ? 4 : 3;
      if (c != 'x' && is_script(std::string_view(text).substr(name, text.size() - 1 - name))) text.insert(name, "sc:");
      return text;
    }
    const size_t bytes = utf8_bytes(c);
    std::string text = wrap("\\", in_.substr(at_ + 1, bytes), "");
    at_ += 1 + bytes;
    switch (c) {
      case 's': return R"(\p{White_Space})";
      case 'S': return R"(\P{White_Space})";
      case 'd': return R"(\p{Nd})";
      case 'D': return R"(\P{Nd})";
      case 'w': return in_class ? words : wrap("[", words, "]");
      case 'W': check(!in_class, "regex: \\W inside a class is not supported", in_); return wrap("[^", words, "]");
      case 'h': return in_class ? "0-9A-Fa-f" : "[0-9A-Fa-f]";
      case 'H': check(!in_class, "regex: \\H inside a class is not supported", in_); return "[^0-9A-Fa-f]";
      case 'v': return R"(\x0B)";
      case 'K':
      case 'Q':
      case 'E':
      case 'C':
      case 'N':
      case 'o': fail("regex: this escape is not supported", text, in_);
      default: return text;
    }
  }

  /// A class with its nested classes and intersections, as one PCRE2 item that matches one character.
  std::string char_class(int depth) {
    check(depth < 16, "regex: classes nested deeper than 16", in_);
    ++at_;
    const bool negated = peek() == '^';
    if (negated) ++at_;
    std::vector<std::string> operands;  // of &&, each matching one character
    std::vector<std::string> nested;    // nested classes of the current operand
    std::string items;                  // its plain items
    const auto finish_operand = [&] {
      std::string text = items.empty() ? std::string() : wrap("[", items, "]");
      for (const std::string& n : nested) text += wrap(text.empty() ? "" : "|", n, "");
      check(!text.empty(), "regex: empty class", in_);
      operands.push_back(nested.empty() || (items.empty() && nested.size() == 1) ? text : wrap("(?:", text, ")"));
      items.clear();
      nested.clear();
    };
    for (bool first = true;; first = false) {
      check(!done(), "regex: class without ]", in_);
      const char c = in_[at_];
      if (c == ']' && !first) break;
      if (c == '[' && peek(1) == ':') {
        const size_t close = in_.find(":]", at_ + 2);
        check(close != std::string_view::npos, "regex: [: without :]", in_);
        items += in_.substr(at_, close + 2 - at_);
        at_ = close + 2;
      } else if (c == '[') {
        nested.push_back(char_class(depth + 1));
      } else if (c == '&' && peek(1) == '&') {
        at_ += 2;
        finish_operand();
      } else if (c == '\\') {
        items += escape(true);
      } else {
        const size_t bytes = utf8_bytes(c);
        if (c == '[' || c == ']') items += '\\';
        items += in_.substr(at_, bytes);
        at_ += bytes;
      }
    }
    ++at_;
    if (operands.empty() && nested.empty()) {
      check(!items.empty(), "regex: empty class", in_);
      return wrap(negated ? "[^" : "[", items, "]");
    }
    finish_operand();
    std::string all = "(?:";
    for (size_t i = 0; i + 1 < operands.size(); ++i) all += wrap("(?=", operands[i], ")");
    all += operands.back() + ")";
    return negated ? wrap("(?:(?!", all, ")(?s:.))") : all;
  }

  std::string_view in_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_ = 0;             // where the last atom starts in out_
  std::vector<size_t> groups_;  // where the open groups start
};

}  // namespace

std::string translate_ruby_regex(std::string_view pattern) { return Translator(pattern).run(); }

}  // namespace infernum::text
