// Which of a checkpoint's chat templates to use. Without one, chat requests are refused: nothing is guessed.
#pragma once
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace infernum {

/// Every template a checkpoint brings.
struct TemplateSources {
  std::optional<std::string> only;                         // chat_template.jinja, or the string form of the configuration
  std::vector<std::pair<std::string, std::string>> named;  // the list form: {"default", ...}, {"tool_use", ...}
};

/// From tokenizer_config.json and, where it exists, the text of chat_template.jinja, which wins.
TemplateSources template_sources(const nlohmann::ordered_json& tokenizer_config, std::optional<std::string> chat_template_jinja = {});

/// From GGUF metadata: `find` returns the string under a key. tokenizer.chat_template is the default, .tool_use beside it.
TemplateSources template_sources_gguf(const std::function<std::optional<std::string>(std::string_view key)>& find);

/// The only template, or of a list "tool_use" for requests with tools where it exists, else "default"; null if there is none.
const std::string* select_template(const TemplateSources& sources, bool with_tools);

}  // namespace infernum
