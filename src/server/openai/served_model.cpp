#include "server/openai/served_model.h"

#include <algorithm>

#include "checkpoint/checkpoint.h"
#include "core/check.h"
#include "runtime/default_sampling.h"
#include "text/load_text.h"

namespace infernum::server {
namespace {

/// BOS, if this checkpoint's texts begin with one that its tokenizer does not add.
std::optional<int32_t> missing_bos(const Checkpoint& checkpoint, const Tokenizer& tokenizer) {
  const std::vector<int32_t> ours = tokenizer.encode("a"), right = encode_plain(checkpoint, tokenizer, "a");
  return right.size() > ours.size() ? std::optional(right.front()) : std::nullopt;
}

}  // namespace

ServedNames::ServedNames(std::vector<std::string> names) : first_(names.empty() ? std::string() : names.front()) {
  check(!first_.empty(), "a served model has a name");
  names.erase(names.begin());
  aliases_ = std::move(names);
}

bool ServedNames::has(std::string_view name) const {
  if (name == first_) return true;
  std::lock_guard lock(mutex_);
  return std::find(aliases_.begin(), aliases_.end(), name) != aliases_.end();
}

std::vector<std::string> ServedNames::aliases() const {
  std::lock_guard lock(mutex_);
  return aliases_;
}

void ServedNames::set_aliases(std::vector<std::string> aliases) {
  std::lock_guard lock(mutex_);
  aliases_ = std::move(aliases);
}

ServedModel served_model(const Checkpoint& checkpoint, std::string chat_template) {
  ServedModel model{nullptr, load_tokenizer(checkpoint), nullptr, with_default_sampling(checkpoint, {}, {}), {}, {}, 0, checkpoint.path, 0,
                    {}};
  if (chat_template.empty()) chat_template = template_source(checkpoint);
  if (!chat_template.empty()) model.chat = std::make_shared<const openai::ChatPrompt>(model.tokenizer, std::move(chat_template));
  model.end_ids = end_of_generation_ids(checkpoint, model.tokenizer);
  model.bos = missing_bos(checkpoint, model.tokenizer);
  return model;
}

}  // namespace infernum::server
