// Choice of a checkpoint's chat template.
#include "text/chat_template_source.h"

#include <nlohmann/json.hpp>

#include "core/check.h"

namespace infernum {

TemplateSources template_sources(const nlohmann::ordered_json& tokenizer_config, std::optional<std::string> chat_template_jinja) {
  TemplateSources sources;
  sources.only = std::move(chat_template_jinja);
  if (sources.only || !tokenizer_config.is_object()) return sources;
  const auto found = tokenizer_config.find("chat_template");
  if (found == tokenizer_config.end() || found->is_null()) return sources;
  if (found->is_string()) {
    sources.only = found->get<std::string>();
    return sources;
  }
  check(found->is_array(), "tokenizer_config.json: chat_template must be a string or a list", found->type_name());
  for (auto& entry : *found) {
    const bool good = entry.is_object() && entry.contains("name") && entry["name"].is_string() && entry.contains("template") &&
                      entry["template"].is_string();
    check(good, "tokenizer_config.json: each chat_template of a list needs a name and a template");
    sources.named.emplace_back(entry["name"].get<std::string>(), entry["template"].get<std::string>());
  }
  return sources;
}

TemplateSources template_sources_gguf(const std::function<std::optional<std::string>(std::string_view key)>& find) {
  TemplateSources sources;
  auto standard = find("tokenizer.chat_template"), tool_use = find("tokenizer.chat_template.tool_use");
  if (!tool_use) {
    sources.only = std::move(standard);
    return sources;
  }
  if (standard) sources.named.emplace_back("default", std::move(*standard));
  sources.named.emplace_back("tool_use", std::move(*tool_use));
  return sources;
}

const std::string* select_template(const TemplateSources& sources, bool with_tools) {
  if (sources.only) return &*sources.only;
  auto named = [&](std::string_view wanted) -> const std::string* {
    for (auto& [name, source] : sources.named)
      if (name == wanted) return &source;
    return nullptr;
  };
  const std::string* tool_use = with_tools ? named("tool_use") : nullptr;
  return tool_use ? tool_use : named("default");
}

}  // namespace infernum
