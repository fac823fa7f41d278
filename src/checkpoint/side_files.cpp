#include "checkpoint/side_files.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "checkpoint/text_file.h"
#include "core/check.h"

namespace infernum {
namespace {

using nlohmann::json;

json parse_object(std::string_view text, const std::string& path) {
  // The depth is bounded before a document is built: real configurations nest about five levels.
  const auto bounded = [&](int depth, json::parse_event_t, json&) {
    check(depth <= 64, "checkpoint: JSON is nested too deeply", path);
    return true;
  };
  try {
    json parsed = json::parse(text, bounded);
    check(parsed.is_object(), "checkpoint: expected a JSON object in", path);
    return parsed;
  } catch (const json::exception& error) {
    fail("checkpoint: not valid JSON", path, error.what());
  }
}

void add_ids(const json& object, const std::string& path, std::vector<int>& ids) {
  const auto place = object.find("eos_token_id");
  if (place == object.end() || place->is_null()) return;
  const auto add = [&](const json& id) {
    const bool fits = id.is_number_unsigned() && id.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int>::max());
    if (!fits)
      fail("checkpoint: eos_token_id is a token id or a list of them, not", id.dump(-1, ' ', false, json::error_handler_t::replace), "in",
           path);
    ids.push_back(id.get<int>());
  };
  if (place->is_array()) {
    for (const json& id : *place) add(id);
  } else {
    add(*place);
  }
}

/// The template called "default" of `chat_template` in either of its two forms: a string, or a list of {name, template}.
std::string template_in(const json& config) {
  const auto place = config.find("chat_template");
  if (place == config.end()) return {};
  if (place->is_string()) return place->get<std::string>();
  if (!place->is_array()) return {};
  for (const json& named : *place)
    if (named.is_object() && named.value("name", json()) == "default" && named.contains("template") && named["template"].is_string())
      return named["template"].get<std::string>();
  return {};
}

}  // namespace

void collect_eos(std::string_view text, const std::string& path, std::vector<int>& ids) {
  const json config = parse_object(text, path);
  add_ids(config, path, ids);
  const auto inner = config.find("text_config");
  if (inner != config.end() && inner->is_object()) add_ids(*inner, path, ids);
}

void sort_unique(std::vector<int>& ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

void read_side_files(const std::string& folder, Checkpoint& checkpoint) {
  const auto path_of = [&](const char* name) { return (std::filesystem::path(folder) / name).string(); };
  const auto read = [&](const char* name) { return read_if_exists(path_of(name)).value_or(std::string()); };
  checkpoint.config_json = read_text_file(path_of("config.json"));
  checkpoint.generation_config_json = read("generation_config.json");
  checkpoint.tokenizer_json = read("tokenizer.json");
  checkpoint.tokenizer_config_json = read("tokenizer_config.json");

  // The newest spelling of the template wins, as in transformers.
  checkpoint.chat_template = read("chat_template.jinja");
  for (const char* name : {"chat_template.json", "tokenizer_config.json"}) {
    const std::string text = checkpoint.chat_template.empty() ? read(name) : std::string();
    if (!text.empty()) checkpoint.chat_template = template_in(parse_object(text, path_of(name)));
  }

  collect_eos(checkpoint.config_json, path_of("config.json"), checkpoint.eos_token_ids);
  if (!checkpoint.generation_config_json.empty())
    collect_eos(checkpoint.generation_config_json, path_of("generation_config.json"), checkpoint.eos_token_ids);
  sort_unique(checkpoint.eos_token_ids);
}

}  // namespace infernum
