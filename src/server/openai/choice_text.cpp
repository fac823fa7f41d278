#include "server/openai/choice_text.h"

#include <algorithm>

#include "text/unicode.h"

namespace infernum::server::openai {
namespace {

/// The end of the prompt, so that the first generated token keeps its leading space. After an echo too: the text continues it.
std::span<const int32_t> tail(const TokenIds& prompt) {
  constexpr size_t enough = 8;
  return std::span(prompt).last(std::min(prompt.size(), enough));
}

}  // namespace

ChoiceText::ChoiceText(const Plan& plan, const Tokenizer& tokenizer, const TokenIds& prompt)
    : plan_(plan), decoder_(tokenizer, plan.skip_special, tail(prompt)), matcher_(plan.stop), keep_tokens_(plan.logprobs >= 0) {}

void ChoiceText::match(const std::string& text) {
  held_ += text;
  const std::string out = matcher_.push(text);
  held_.erase(0, out.size());
  ready_.text += out;
  released_ += out.size();
  if (!matcher_.stopped()) return;
  stopped_ = true;
  // The matcher stopped in front of the stop string that was completed first.
  for (const std::string& stop : plan_.stop)
    if (held_.compare(0, stop.size(), stop) == 0) {
      stop_text_ = stop;
      break;
    }
  if (plan_.include_stop) ready_.text += stop_text_, released_ += stop_text_.size();
}

void ChoiceText::append(const std::string& text) {
  if (text.empty()) return;
  decoded_ += text.size();
  if (keep_tokens_) characters_ += text::count_code_points(text);
  // No stop string is looked for before min_tokens.
  if (!plan_.stop.empty() && tokens_ >= plan_.request.min_tokens) return match(text);
  ready_.text += text;
  released_ += text.size();
}

void ChoiceText::push(ScoredToken token) {
  if (stopped_) return;
  tokens_++;
  if (plan_.return_ids) ready_.ids.push_back(token.id);
  const std::vector<int32_t>& ends = plan_.request.stop_ids;
  const bool ends_here = tokens_ > plan_.request.min_tokens && std::find(ends.begin(), ends.end(), token.id) != ends.end();
  const size_t begin = decoded_, character = characters_;
  if (!ends_here || plan_.include_stop) append(decoder_.push(token.id));
  if (ends_here && !stopped_) {
    stopped_ = true;
    const std::vector<int32_t>& named = plan_.named_stop_ids;
    if (std::find(named.begin(), named.end(), token.id) != named.end()) stop_id_ = token.id;
  }
  // A chat's tokens are those of its text; the older API counts the end of generation among them.
  if (keep_tokens_ && !(ends_here && plan_.shape == Shape::Chat && !plan_.include_stop))
    waiting_.push_back({std::move(token), begin, decoded_, character});
}

void ChoiceText::finish() {
  if (finished_) return;
  finished_ = true;
  if (!stopped_by_text()) append(decoder_.finish());
  if (!stopped_by_text()) {
    const std::string rest = matcher_.finish();
    ready_.text += rest;
    released_ += rest.size();
  }
  stopped_ = true;
}

void ChoiceText::take(TextDelta& delta) {
  delta.text.clear();
  delta.tokens.clear();
  delta.ids.clear();
  std::swap(delta, ready_);
  while (!waiting_.empty()) {
    const PlacedToken& next = waiting_.front();
    // Once a stop string was found, released_ is where the text ends: what begins behind is not part of it.
    const bool out = stopped_by_text() ? next.begin < released_ : finished_ || next.end <= released_;
    if (!out) break;
    delta.tokens.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

std::string token_name(const Tokenizer& tokenizer, int32_t id, bool as_id) {
  if (as_id) return "token_id:" + std::to_string(id);
  return text::to_valid_utf8(tokenizer.token_bytes(id));
}

}  // namespace infernum::server::openai
