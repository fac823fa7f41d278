// General regexes of tokenizer files: Oniguruma (Ruby) syntax run by PCRE2 within limits.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace infernum::text {

struct Span {
  size_t begin, end;
};

/// Rewrites Ruby's syntax to PCRE2's where the same spelling means something else: \s \w \d \h \v, {m,n}+, class intersection, nested
/// classes.
std::string translate_ruby_regex(std::string_view pattern);

class Regex {
 public:
  /// Throws Error with the pattern, the place and the reason when it does not compile.
  explicit Regex(std::string_view pattern);
  const std::string& pattern() const { return pattern_; }
  /// Appends the non-empty matches in valid UTF-8, left to right. Throws Error when matching exceeds its step, memory or time limits.
  void find_all(std::string_view text, std::vector<Span>& out) const;

 private:
  friend class RegexMatcher;
  std::string pattern_;
  std::shared_ptr<void> code_;  // pcre2_code, read-only after construction
};

/// The working memory of matching one regex, and its time limit: one for all the pieces of a text.
class RegexMatcher {
 public:
  explicit RegexMatcher(const Regex& regex);
  ~RegexMatcher();
  RegexMatcher(RegexMatcher&&) noexcept;
  RegexMatcher& operator=(RegexMatcher&&) noexcept;
  void find_all(std::string_view text, std::vector<Span>& out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace infernum::text
