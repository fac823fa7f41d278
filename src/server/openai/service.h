// OpenAiService: the routes of the OpenAI API over one engine.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/engine.h"
#include "server/http.h"
#include "server/openai/served_model.h"
#include "server/openai/usage.h"
#include "server/request_record.h"

namespace infernum::server {

struct ServiceOptions {
  int64_t max_n = 16;                                   ///< choices per prompt
  int64_t max_logprobs = 20;                            ///< alternatives per token
  int64_t stream_interval = 1;                          ///< tokens per chunk of a stream
  double first_byte_seconds = 15;                       ///< until a stream begins without a token; negative: never
  double queue_seconds = 0;                             ///< until the first step at the latest; 0: no limit
  double request_seconds = 0;                           ///< until the end at the latest; 0: no limit
  bool strict_fields = false;                           ///< unknown fields are 400
  bool accept_any_model = false;                        ///< unknown names mean the default model
  bool request_templates = false;                       ///< chat_template of requests is used
  bool tokenizer_info = false;                          ///< GET /tokenizer_info exists
  bool allow_priority = false;                          ///< requests may say whom they precede
  bool processed_logprobs = false;                      ///< of the distribution that tokens are drawn from, not of the model's own
  std::optional<uint64_t> seed;                         ///< requests without a seed draw by this and their number; else each as it comes
  bool server_timing = false;                           ///< the header of that name
  size_t content_bytes = 0;                             ///< of prompts, and of answers, that are noted for the log; 0: none
  bool salt_by_key = true;                              ///< cached prefixes are not shared between API keys
  int workers = 1;                                      ///< threads for templates and tokenization
  size_t inline_bytes = 2048;                           ///< shorter bodies are worked on in the I/O thread
  size_t most_waiting = 1024;                           ///< requests that wait for a worker
  std::function<int64_t()> now;                         ///< seconds since 1970; empty: the clock
  std::function<void(const RequestRecord&)> on_record;  ///< at the end of every request that the engine was asked for; on the I/O thread
};

class OpenAiService {
 public:
  /// `engine` and `loop` outlive the service and what they still hold of it. Takes the engine's on_step. On the I/O thread, as everything
  /// here.
  OpenAiService(ServedModel model, Engine& engine, IoLoop& loop, ServiceOptions options = {});
  /// Requests under way are cancelled and dropped.
  ~OpenAiService();

  /// Valid as long as the service.
  std::vector<Route> routes();
  /// Further names of the model, in place of those there are.
  void set_aliases(std::vector<std::string> aliases);
  /// Requests that are answered or worked on now.
  size_t live() const;

  class State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace infernum::server
