// ServedModel: what the API needs to know of the model that the engine runs.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/sampler.h"
#include "server/openai/chat_prompt.h"
#include "text/tokenizer.h"

namespace infernum {
struct Checkpoint;
}

namespace infernum::server {

struct ServedModel {
  std::vector<std::string> ids;  ///< the first one is the model's name, the others are aliases
  Tokenizer tokenizer;
  std::shared_ptr<const openai::ChatPrompt> chat;  ///< null: the model has no chat template
  SamplingParams sampling;                         ///< where a request says nothing
  std::vector<int32_t> end_ids;                    ///< end a generation
  std::optional<int32_t> bos;                      ///< comes before plain texts although the tokenizer does not add it
  int64_t max_model_len = 0;
  std::string root;  ///< path or hub id
  int64_t created = 0;
  std::string system_fingerprint;

  const std::string& id() const { return ids.front(); }
};

/// Tokenizer, chat template (`chat_template`, or the checkpoint's own), recommended sampling and ends of generation. The caller sets the
/// names, the context, and whose the fingerprint is.
ServedModel served_model(const Checkpoint& checkpoint, std::string chat_template = {});

}  // namespace infernum::server
