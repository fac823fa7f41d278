// From a checkpoint to a model: first every weight's header is checked by tracing the network, then the weights are loaded.
#pragma once
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "models/family.h"

namespace infernum {

/// Serves a checkpoint's tensors; collects what is missing or of the wrong shape and which tensors nobody asked for.
class CheckpointSource : public WeightSource {
 public:
  /// A checkpoint opened by its headers may lack tensors: they are then described by the shape asked for, in `fallback` dtype.
  CheckpointSource(const Checkpoint& checkpoint, bool headers_only, DType fallback = DType::BF16);
  bool has(const std::string& name) const override;
  std::optional<Shape> shape(const std::string& name) const override;
  StoredTensor read(const std::string& name, const Shape& shape) override;
  /// Throws, listing missing, misshapen and unread tensors, unless there are none.
  void check_complete(int64_t num_hidden_layers, bool tied) const;

 private:
  const Checkpoint& checkpoint_;
  bool headers_only_;
  DType fallback_;
  std::set<std::string> read_;
  std::vector<std::string> missing_, misshapen_;
};

/// `inspect`: what the model would do, from config.json and headers alone.
TraceReport trace_model(const Checkpoint& checkpoint, const ModelOptions& options, int64_t tokens, bool headers_only);
/// One step of it, likewise.
TraceStep trace_step(const Checkpoint& checkpoint, const ModelOptions& options, StepSize size);

/// The checkpoint must outlive the model unless its tensors' owners do (they are shared).
std::unique_ptr<Model> load_model(const Checkpoint& checkpoint, const ModelOptions& options);
/// As a model of this family, whatever the config's `architectures` says.
std::unique_ptr<Model> load_model(const Checkpoint& checkpoint, const Family& family, const ModelOptions& options);

}  // namespace infernum
