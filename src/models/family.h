// Family: a row of the table of supported architectures.
#pragma once
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "layers/weights.h"
#include "models/config_reader.h"
#include "models/model.h"
#include "models/trace_report.h"

namespace infernum {

struct Family {
  std::string_view name;
  std::vector<std::string_view> architectures;  ///< values of config.json's `architectures`
  /// Values of model_type in the text_config of a multimodal model, besides the name: its text part is of this family.
  std::vector<std::string_view> text_models;
  /// Traces a prefill of `tokens` tokens and a decode step at the end of it; reads every weight's header through `source`.
  std::function<TraceReport(const ConfigReader&, WeightSource& source, const ModelOptions&, int64_t tokens)> trace;
  /// Traces one step.
  std::function<TraceStep(const ConfigReader&, WeightSource& source, const ModelOptions&, StepSize)> trace_step;
  std::function<std::unique_ptr<Model>(const ConfigReader&, WeightSource& source, const ModelOptions&)> load;
};

}  // namespace infernum
