// Golden checkpoints: every variant and spelling of its config, loaded for a test, and how far its logits are from the reference.
#pragma once
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <ostream>
#include <set>
#include <sstream>

#include "support/golden.h"
#include "support/run_model.h"

namespace infernum::test {

inline std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Variant {
  std::string folder, config_file;
  std::string path(const std::string& file) const { return data("models/" + folder + "/" + file); }
  std::string config() const { return read_file(path(config_file)); }
  /// As part of a test's name.
  std::string name() const {
    std::string text = folder + (config_file == "config.json" ? "_v5" : "_v4");
    std::replace(text.begin(), text.end(), '-', '_');
    return text;
  }
};

inline std::ostream& operator<<(std::ostream& out, const Variant& v) { return out << v.folder << "/" << v.config_file; }

/// Every golden checkpoint, in each spelling of its config.
inline std::vector<Variant> variants() {
  std::set<std::string> folders;
  for (const auto& entry : std::filesystem::directory_iterator(data("models")))
    if (std::filesystem::exists(entry.path() / "golden.safetensors")) folders.insert(entry.path().filename());
  std::vector<Variant> list;
  for (const std::string& folder : folders)
    for (const char* file : {"config.json", "config.legacy.json"})
      if (std::filesystem::exists(data("models/" + folder + "/" + file))) list.push_back({folder, file});
  return list;
}

inline std::unique_ptr<Model> load_golden(const std::string& folder, const std::string& config_json, ModelOptions options = {}) {
  Checkpoint checkpoint = open_checkpoint(data("models/" + folder));
  checkpoint.config_json = config_json;
  options.threads = options.threads ? options.threads : 2;
  options.bf16_frequencies = true;  // the golden models were cast to bfloat16 and back as a whole, rotary frequencies included
  return load_model(checkpoint, options);
}

/// `dynamic` rope and `longrope` depend on the longest sequence, which for the reference is the prompt itself.
inline ModelOptions options_for_length(const std::string& folder, int64_t tokens, ModelOptions options = {}) {
  if (folder == "llama-dynamic" || folder == "phi3-longrope") options.max_model_len = tokens;
  return options;
}

/// Logits of `prompt` and of the reference, which may hold only the last rows.
struct LogitsPair {
  std::vector<float> got, want;
};

inline LogitsPair run_prompt(Model& model, const Golden& golden, const std::string& prompt, int64_t chunk = INT64_MAX) {
  const auto ids = golden.ids(prompt + ".ids");
  LogitsPair logits{{}, golden.floats(prompt + ".logits")};
  SingleSequence sequence(model, static_cast<int64_t>(ids.size()));
  logits.got = sequence.append(ids, chunk);
  logits.got.erase(logits.got.begin(), logits.got.end() - static_cast<std::ptrdiff_t>(logits.want.size()));
  return logits;
}

inline double logits_error(Model& model, const Golden& golden, const std::string& prompt, int64_t chunk = INT64_MAX) {
  const auto [got, want] = run_prompt(model, golden, prompt, chunk);
  return relative_error(got, want);
}

/// What the residual stream of `prompt` is beside the reference, layer by layer: relative errors of hidden0, hidden1 ...
inline std::vector<double> hidden_errors(Model& model, const Golden& golden, const std::string& prompt) {
  std::map<std::string, std::vector<float>> hidden;
  model.observe(
      [&](std::string_view name, const std::vector<int64_t>&, const std::vector<float>& values) { hidden[std::string(name)] = values; });
  const auto ids = golden.ids(prompt + ".ids");
  SingleSequence(model, static_cast<int64_t>(ids.size())).append(ids);
  model.observe({});
  std::vector<double> errors;
  for (std::string name = "hidden0"; golden.has(prompt + "." + name); name = "hidden" + std::to_string(errors.size()))
    errors.push_back(relative_error(hidden[name], golden.floats(prompt + "." + name)));
  return errors;
}

/// Of every position: the norm of the difference of its logits over the norm of its logits.
inline std::vector<double> position_errors(const LogitsPair& logits, int64_t vocab_size) {
  std::vector<double> errors;
  const auto width = static_cast<size_t>(vocab_size);
  for (size_t row = 0; row < logits.want.size(); row += width) {
    double difference = 0, norm = 0;
    for (size_t i = row; i < row + width; i++) {
      difference += std::pow(static_cast<double>(logits.got[i]) - static_cast<double>(logits.want[i]), 2);
      norm += std::pow(static_cast<double>(logits.want[i]), 2);
    }
    errors.push_back(std::sqrt(difference / norm));
  }
  return errors;
}

}  // namespace infernum::test
