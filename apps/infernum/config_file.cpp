// The configuration file of `infernum serve`: TOML, one key per flag.
#include <toml++/toml.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "checkpoint/text_file.h"
#include "core/check.h"
#include "serve_options.h"
#include "values.h"

namespace infernum::app {
namespace {

constexpr int64_t largest_file = 1 << 20;

/// What --config or its variable says; else the first usual place that has a file; else "".
std::string config_path(int argc, char** argv) {
  std::string path;
  for (int i = 2; i < argc; i++) {
    const std::string_view argument = argv[i];
    if (argument == "--config" && i + 1 < argc) path = argv[i + 1];
    if (argument.starts_with("--config=")) path = argument.substr(9);
  }
  if (!path.empty()) return path;
  if (const char* named = std::getenv("INFERNUM_CONFIG"); named && *named) return named;
  const char* config_home = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  std::vector<std::string> places;
  if (config_home && *config_home)
    places.push_back(std::string(config_home) + "/infernum/config.toml");
  else if (home && *home)
    places.push_back(std::string(home) + "/.config/infernum/config.toml");
  places.emplace_back("/etc/infernum/config.toml");
  std::error_code ignored;
  for (const std::string& place : places)
    if (std::filesystem::is_regular_file(place, ignored)) return place;
  return "";
}

/// As on the command line.
std::string value_text(const toml::node& node, const std::string& path, const std::string& key) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* number = node.as_floating_point()) return describe(number->get());
  if (const auto* truth = node.as_boolean()) return truth->get() ? "true" : "false";
  fail("a value in the configuration file is neither text, number, truth value nor a list of them", path, key);
}

std::string list_text(const toml::array& list, const std::string& path, const std::string& key) {
  std::string all;
  for (const toml::node& item : list) {
    const std::string text = value_text(item, path, key);
    check(text.find(',') == std::string::npos, "an item of a list in the configuration file has a comma", path, key);
    all += (all.empty() ? "" : ",") + text;
  }
  return all;
}

CLI::Option* option_named(CLI::App& serve, const std::string& name, std::vector<std::string>& known) {
  CLI::Option* found = nullptr;
  for (CLI::Option* option : serve.get_options()) {
    const auto& negated = option->get_fnames();  // such as no-enable-prefix-caching: true would say the opposite of what it means
    for (const std::string& flag : option->get_lnames()) {
      if (flag == "help" || flag == "config" || std::find(negated.begin(), negated.end(), flag) != negated.end()) continue;
      known.push_back(flag);
      if (flag == name) found = option;
    }
    if (option->get_lnames().empty() && option->get_name() == name) found = option;
  }
  known.emplace_back("model");
  return found;
}

}  // namespace

void apply_config_file(CLI::App& serve, int argc, char** argv) {
  const std::string path = config_path(argc, argv);
  if (path.empty()) return;
  const std::string text = read_text_file(path, largest_file);
  toml::table table;
  try {
    table = toml::parse(text, path);
  } catch (const toml::parse_error& e) {
    fail("the configuration file is not TOML", path, "line " + std::to_string(e.source().begin.line), std::string(e.description()));
  }
  for (const auto& [toml_key, node] : table) {
    const std::string key(toml_key.str());
    std::string name = key;
    std::replace(name.begin(), name.end(), '_', '-');
    std::vector<std::string> known;
    CLI::Option* option = option_named(serve, name, known);
    if (!option) {
      const std::string best = nearest(name, known);
      fail("the configuration file has an unknown key", path, printable(key), best.empty() ? "" : "(did you mean " + best + "?)");
    }
    const std::string value = node.is_array() ? list_text(*node.as_array(), path, key) : value_text(node, path, key);
    try {
      option->default_val(value);
    } catch (const CLI::Error& e) {
      fail("a value in the configuration file is not what its flag takes", path, key + ":", e.what());
    }
  }
}

}  // namespace infernum::app
