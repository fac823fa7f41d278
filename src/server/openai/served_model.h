// ServedModel: what the API needs to know of the model that the engine runs.
#pragma once
#include <memory>
#include <mutex>
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

/// The names that requests may call a model by. Those behind the first one may be replaced while requests are read on other threads.
class ServedNames {
 public:
  explicit ServedNames(std::vector<std::string> names);
  const std::string& first() const { return first_; }
  bool has(std::string_view name) const;
  std::vector<std::string> aliases() const;
  void set_aliases(std::vector<std::string> aliases);

 private:
  const std::string first_;
  mutable std::mutex mutex_;  // of what follows
  std::vector<std::string> aliases_;
};

struct ServedModel {
  std::shared_ptr<ServedNames> names;
  Tokenizer tokenizer;
  std::shared_ptr<const openai::ChatPrompt> chat;  ///< null: the model has no chat template
  SamplingParams sampling;                         ///< where a request says nothing
  std::vector<int32_t> end_ids;                    ///< end a generation
  std::optional<int32_t> bos;                      ///< comes before plain texts although the tokenizer does not add it
  int64_t max_model_len = 0;
  std::string root;  ///< path or hub id
  int64_t created = 0;
  std::string system_fingerprint;

  const std::string& id() const { return names->first(); }
};

/// Tokenizer, chat template (`chat_template`, or the checkpoint's own), recommended sampling and ends of generation. The caller sets the
/// names, the context, and whose the fingerprint is.
ServedModel served_model(const Checkpoint& checkpoint, std::string chat_template = {});

}  // namespace infernum::server
