// PCRE2 with limits on steps, memory and time: the pattern comes from a model folder, the text from anyone.
#define PCRE2_CODE_UNIT_WIDTH 8  // NOLINT(cppcoreguidelines-macro-usage): what pcre2.h asks for
#include "text/regex.h"

#include <pcre2.h>

#include <chrono>

#include "core/check.h"

namespace infernum::text {
namespace {

constexpr size_t max_pattern_bytes = 65536;
constexpr uint32_t match_limit = 20'000'000;  // backtracking steps of one match
constexpr uint32_t heap_limit_kib = 262'144;
constexpr size_t jit_stack_bytes = 8 << 20;
// One pass over one text; linear patterns need a few milliseconds per megabyte.
constexpr auto time_limit = std::chrono::seconds(10);

template <class T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* p) const { Free(p); }
};
using MatchData = std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data, pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context, pcre2_match_context_free>>;
using CompileContext = std::unique_ptr<pcre2_compile_context, Deleter<pcre2_compile_context, pcre2_compile_context_free>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Deleter<pcre2_jit_stack, pcre2_jit_stack_free>>;

std::string error_text(int code) {
  PCRE2_UCHAR buffer[256];
  return pcre2_get_error_message(code, buffer, sizeof buffer) < 0 ? "unknown error" : std::string(reinterpret_cast<char*>(buffer));
}

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

Regex::Regex(std::string_view pattern) : pattern_(pattern) {
  check(pattern.size() <= max_pattern_bytes, "regex: longer than 64 KiB", pattern.size());
  const std::string translated = translate_ruby_regex(pattern);
  const CompileContext context(pcre2_compile_context_create(nullptr));
  check(context != nullptr, "regex: out of memory");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_DUPNAMES;
  pcre2_code* code = pcre2_compile(units(translated), translated.size(), options, &error, &offset, context.get());
  if (!code) fail("regex: does not compile", pattern_, error_text(error), "at byte", offset, "of", translated);
  code_ = std::shared_ptr<void>(code, [](void* p) { pcre2_code_free(static_cast<pcre2_code*>(p)); });
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without it the interpreter runs, under the same limits
}

void Regex::find_all(std::string_view text, std::vector<Span>& out) const { RegexMatcher(*this).find_all(text, out); }

struct RegexMatcher::State {
  explicit State(const Regex& r)
      : regex(r),
        data(pcre2_match_data_create_from_pattern(static_cast<const pcre2_code*>(r.code_.get()), nullptr)),
        context(pcre2_match_context_create(nullptr)),
        stack(pcre2_jit_stack_create(32 << 10, jit_stack_bytes, nullptr)) {
    check(data && context, "regex: out of memory");
    pcre2_set_match_limit(context.get(), match_limit);
    pcre2_set_heap_limit(context.get(), heap_limit_kib);
    if (stack) pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
  const Regex& regex;
  MatchData data;
  MatchContext context;
  JitStack stack;
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  unsigned tries = 0;
};

RegexMatcher::RegexMatcher(const Regex& regex) : state_(std::make_unique<State>(regex)) {}
RegexMatcher::~RegexMatcher() = default;
RegexMatcher::RegexMatcher(RegexMatcher&&) noexcept = default;
RegexMatcher& RegexMatcher::operator=(RegexMatcher&&) noexcept = default;

void RegexMatcher::find_all(std::string_view text, std::vector<Span>& out) {
  State& s = *state_;
  const auto* code = static_cast<const pcre2_code*>(s.regex.code_.get());
  for (size_t at = 0; at <= text.size();) {
    if (++s.tries % 64 == 0 && std::chrono::steady_clock::now() - s.start > time_limit)
      fail("regex: matching takes too long", s.regex.pattern_, "text bytes", text.size());
    const int found = pcre2_match(code, units(text), text.size(), at, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, s.data.get(), s.context.get());
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0) fail("regex: matching stopped", s.regex.pattern_, error_text(found), "text bytes", text.size());
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(s.data.get());
    check(ends[0] >= at && ends[1] > ends[0], "regex: the match does not lie ahead", s.regex.pattern_, ends[0], ends[1]);
    out.push_back({ends[0], ends[1]});
    at = ends[1];
  }
}

}  // namespace infernum::text
