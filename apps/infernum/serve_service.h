// The OpenAI service of `infernum serve`, apart from the engine: its options from flags, its records as plain figures.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "runtime/engine.h"
#include "serve_options.h"
#include "server/http.h"

namespace infernum::app {

struct ModelDescription {
  std::vector<std::string> names;
  std::string root, fingerprint;
  std::string chat_template;  ///< empty: the checkpoint's own
};

/// What the service tells of a request that has ended.
struct FinishedRequest {
  std::string_view route;
  std::string model, finish_reason;
  int status = 200;
  int64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0, choices = 0, max_tokens = 0;
  double seconds = 0, queue_seconds = 0, prefill_seconds = 0, decode_seconds = 0;
  std::optional<double> first_token_seconds;
  std::vector<float> token_gaps;
  int preemptions = 0;
};

class Service {
 public:
  Service();
  ~Service();
  /// Reads tokenizer, template and recommended sampling. From any thread.
  void describe(const Checkpoint& checkpoint, ModelDescription description, const ServeFlags& flags);
  /// On the I/O thread, as close().
  std::vector<server::Route> open(Engine& engine, server::IoLoop& loop, std::function<void(const FinishedRequest&)> finished);
  void close();
  const std::string& model_name() const;
  bool chats() const;
  int64_t vocab_size() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace infernum::app
