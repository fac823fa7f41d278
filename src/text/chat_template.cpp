// Parses a template once and renders conversations with it.
#include "text/chat_template.h"

#include <nlohmann/json.hpp>

#include "text/jinja_interpreter.h"
#include "text/jinja_json.h"
#include "text/jinja_parser.h"

namespace infernum {

struct ChatTemplate::State {
  std::string source;
  Limits limits;
  Dialect dialect;
  jinja::Body body;
};

ChatTemplate::ChatTemplate(std::string source, Limits limits, Dialect dialect) {
  jinja::Body body = jinja::parse(source, limits);
  state_ = std::make_unique<const State>(State{std::move(source), limits, dialect, std::move(body)});
}
ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

const std::string& ChatTemplate::source() const { return state_->source; }

std::string joined(const std::vector<Span>& spans) {
  std::string out;
  for (auto& span : spans) out += span.text;
  return out;
}

namespace {

std::vector<Span> to_spans(const jinja::Text& text) {
  std::vector<Span> spans;
  size_t at = 0;
  auto put = [&](size_t end, bool trusted) {
    if (end > at) spans.push_back({text.bytes.substr(at, end - at), trusted});
    at = end;
  };
  for (auto& range : text.input) {
    put(range.begin, true);
    put(range.end, false);
  }
  put(text.size(), true);
  return spans;
}

}  // namespace

std::vector<Span> ChatTemplate::render(const Inputs& inputs) const {
  using jinja::Origin;
  jinja::Runtime rt(state_->limits, state_->dialect, inputs.now.value_or(std::time(nullptr)));
  jinja::Interpreter interpreter(rt);
  auto define = [&](std::string_view name, const nlohmann::ordered_json* document, Origin origin) {
    interpreter.define(name, document ? jinja::from_document(rt, *document, origin) : jinja::Value(jinja::None{}));
  };
  for (auto& [name, value] : inputs.special_tokens) interpreter.define(name, rt.text(value));
  if (inputs.extra) {
    if (!inputs.extra->is_object() && !inputs.extra->is_null()) throw TemplateError(0, "the extra template variables must be an object");
    for (auto& [name, value] : inputs.extra->items()) define(name, &value, Origin::Request);
  }
  define("messages", inputs.messages, Origin::Conversation);
  define("tools", inputs.tools, Origin::Request);
  define("documents", inputs.documents, Origin::Request);
  interpreter.define("add_generation_prompt", inputs.add_generation_prompt);
  return to_spans(interpreter.run(state_->body));
}

}  // namespace infernum
