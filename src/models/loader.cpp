#include "models/loader.h"

#include <algorithm>
#include <map>
#include <set>

#include "checkpoint/tensor_names.h"
#include "core/device_error.h"
#include "core/log.h"
#include "models/families.h"

namespace infernum {
namespace {

std::string list(const char* title, const std::vector<std::string>& names) {
  constexpr size_t shown = 20;
  if (names.empty()) return "";
  std::string text = std::string("\n  ") + title + ":";
  for (size_t i = 0; i < std::min(shown, names.size()); i++) text += "\n    " + names[i];
  if (names.size() > shown) text += "\n    ... and " + std::to_string(names.size() - shown) + " more";
  return text;
}

/// "vision_tower (12 tensors), ..."; empty when all of the checkpoint is the text model.
std::string foreign_parts(const Checkpoint& checkpoint) {
  std::map<std::string_view, int64_t> counts;
  for (const StoredTensor& t : checkpoint.tensors)
    if (const auto part = foreign_part(t.name); !part.empty()) counts[part]++;
  std::string text;
  for (const auto& [part, count] : counts)
    text += (text.empty() ? "" : ", ") + std::string(part) + " (" + std::to_string(count) + (count == 1 ? " tensor)" : " tensors)");
  return text;
}

}  // namespace

CheckpointSource::CheckpointSource(const Checkpoint& checkpoint, bool headers_only, DType fallback)
    : checkpoint_(checkpoint), headers_only_(headers_only && checkpoint.tensors.empty()), fallback_(fallback) {}

bool CheckpointSource::has(const std::string& name) const { return checkpoint_.tensors.find(name) != nullptr; }

std::optional<Shape> CheckpointSource::shape(const std::string& name) const {
  const StoredTensor* found = checkpoint_.tensors.find(name);
  return found ? std::optional(found->shape) : std::nullopt;
}

StoredTensor CheckpointSource::read(const std::string& name, const Shape& shape) {
  const bool first = read_.insert(name).second;  // prefill and decode are traced: one report is enough
  const StoredTensor* found = checkpoint_.tensors.find(name);
  if (found && found->shape == shape) return *found;
  if (found && first)
    misshapen_.push_back(name + " is " + describe(found->shape) + ", the config says " + describe(shape));
  else if (!found && first && !headers_only_)
    missing_.push_back(name + " " + describe(shape));
  // Described without data, so that one pass finds every problem; check_complete() reports them before anything is computed.
  StoredTensor described;
  described.name = name;
  described.dtype = shape.rank() == 1 ? DType::F32 : fallback_;
  described.shape = shape;
  described.bytes = bytes_of(described.dtype, shape.elements());
  return described;
}

void CheckpointSource::check_complete(int64_t num_hidden_layers, bool tied) const {
  std::vector<std::string> unread;
  for (const StoredTensor& t : checkpoint_.tensors)
    if (!read_.count(t.name) && !ignorable(t.name, num_hidden_layers) && !(tied && t.name == "lm_head.weight")) unread.push_back(t.name);
  if (missing_.empty() && misshapen_.empty() && unread.empty()) return;
  fail("checkpoint: its tensors do not match its config", checkpoint_.path + list("missing", missing_) +
                                                              list("of another shape", misshapen_) +
                                                              list("unknown to this architecture", unread) + "\n");
}

namespace {

/// The tensors of a source without their data: a trace must not copy experts or columns of matrices.
class Headers : public WeightSource {
 public:
  explicit Headers(WeightSource& source) : source_(source) {}
  bool has(const std::string& name) const override { return source_.has(name); }
  std::optional<Shape> shape(const std::string& name) const override { return source_.shape(name); }
  StoredTensor read(const std::string& name, const Shape& shape) override {
    StoredTensor t = source_.read(name, shape);
    t.data = nullptr;
    t.owner = nullptr;
    t.file = nullptr;
    return t;
  }

 private:
  WeightSource& source_;
};

TraceReport trace(const Checkpoint& checkpoint, const Family& family, const ModelOptions& options, int64_t tokens, bool headers_only) {
  const ConfigReader config(checkpoint.config_json);
  CheckpointSource source(checkpoint, headers_only);
  Headers headers(source);
  auto report = family.trace(config, headers, options, tokens);
  if (!headers_only || !checkpoint.tensors.empty()) source.check_complete(report.info.num_hidden_layers, report.info.tied);
  return report;
}

}  // namespace

TraceReport trace_model(const Checkpoint& checkpoint, const ModelOptions& options, int64_t tokens, bool headers_only) {
  return trace(checkpoint, find_family(ConfigReader(checkpoint.config_json)), options, tokens, headers_only);
}

TraceStep trace_step(const Checkpoint& checkpoint, const ModelOptions& options, StepSize size) {
  const ConfigReader config(checkpoint.config_json);
  CheckpointSource source(checkpoint, true);
  Headers headers(source);
  return find_family(config).trace_step(config, headers, options, size);
}

std::unique_ptr<Model> load_model(const Checkpoint& checkpoint, const ModelOptions& options) {
  return load_model(checkpoint, find_family(ConfigReader(checkpoint.config_json)), options);
}

std::unique_ptr<Model> load_model(const Checkpoint& checkpoint, const Family& family, const ModelOptions& options) {
  for (const std::string& key : trace(checkpoint, family, options, 1, false).ignored_keys)
    log_warning("config.json: unknown key ignored: " + key);
  const std::string unused = foreign_parts(checkpoint);
  if (!unused.empty()) log_warning("checkpoint: not read, since only the text model runs: " + unused);
  const ConfigReader config(checkpoint.config_json);
  CheckpointSource source(checkpoint, false);
  try {
    return family.load(config, source, options);
  } catch (const std::exception& e) {
    const auto shortage = memory_shortage(e);
    if (!shortage) throw;
    throw OutOfMemory("the weights do not fit, " + mebibytes(checkpoint.tensors.bytes()) + " as they are stored: " + *shortage +
                      "; take a smaller model, a format of fewer bits (infernum quantize), or another --device");
  }
}

}  // namespace infernum
