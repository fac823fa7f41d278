// What `infernum bench` and `infernum bench ops` measure: a model, or a published shape with synthetic weights.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "models/trace_report.h"
#include "options.h"

namespace infernum::app {

struct Subject {
  std::string name, format;
  ModelOptions options;
  std::unique_ptr<Model> model;  ///< where it was asked for
  std::function<TraceStep(StepSize)> trace;
};

/// `load`: the model too, not its headers alone.
Subject open_subject(const ModelFlags& flags, const std::string& shape, const std::string& format, bool load);

}  // namespace infernum::app
