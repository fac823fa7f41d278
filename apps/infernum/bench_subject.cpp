#include "bench_subject.h"

#include "checkpoint/convert.h"
#include "models/families.h"
#include "models/loader.h"
#include "models/synthetic.h"
#include "session.h"

namespace infernum::app {

Subject open_subject(const ModelFlags& flags, const std::string& shape, const std::string& format, bool load) {
  if (shape.empty()) {
    Subject subject;
    std::shared_ptr<const Checkpoint> checkpoint;
    if (load) {
      Session session(flags);
      subject.options = session.options;
      subject.model = std::move(session.model);
      checkpoint = std::make_shared<Checkpoint>(std::move(session.checkpoint));
    } else {
      checkpoint = std::make_shared<Checkpoint>(open_checkpoint(resolve_model(flags.model), Opening::HeadersOnly));
      subject.options = model_options(flags, checkpoint->config_json);
    }
    subject.name = checkpoint->path;
    subject.format = "as stored";
    subject.trace = [checkpoint, options = subject.options](StepSize size) { return trace_step(*checkpoint, options, size); };
    return subject;
  }
  const std::string json = shape_config(shape);
  const DType type = parse_gguf_type(format);
  const ModelOptions options = model_options(flags, json);
  const Family& family = find_family(ConfigReader(json));
  Subject subject{shape, std::string(info(type).name), options, nullptr, nullptr};
  subject.trace = [json, type, options, &family](StepSize size) {
    SyntheticSource source(type, true);
    return family.trace_step(ConfigReader(json), source, options, size);
  };
  if (load) {
    SyntheticSource source(type);
    subject.model = family.load(ConfigReader(json), source, options);
  }
  return subject;
}

}  // namespace infernum::app
