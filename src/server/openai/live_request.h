// LiveRequest: one request that the engine works on, and its answer as it grows. Lives on the I/O thread.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/engine.h"
#include "server/http.h"
#include "server/openai/api_error.h"
#include "server/openai/choice_text.h"
#include "server/openai/format.h"
#include "server/openai/plan.h"
#include "server/openai/usage.h"
#include "server/request_record.h"

namespace infernum::server::openai {

struct LiveOptions {
  int64_t stream_interval = 1;  ///< tokens per chunk; a choice's first and last come at once
  bool server_timing = false;   ///< the header of that name
  size_t content_bytes = 0;     ///< of prompts, and of answers, that are noted for the log; 0: none
  std::function<void(RequestId)> cancel;
  std::function<void(const RequestRecord&)> on_record;  ///< once
};

class LiveRequest {
 public:
  /// `model` and `options` outlive this.
  LiveRequest(std::shared_ptr<Exchange> exchange, Plan plan, const ServedModel& model, const LiveOptions& options, std::string id,
              int64_t created, SteadyTime arrived);

  const Plan& plan() const { return plan_; }
  size_t choices() const { return choices_.size(); }
  /// The engine's name for choice `index`; from now on its end is waited for.
  void submitted(size_t index, RequestId id);

  /// What a step did for choice `index`.
  void on_event(size_t index, EngineEvent event, SteadyTime now);
  /// Behind all events of a step: sends what they wrote, at once; answers when all choices have ended.
  void flush(SteadyTime now);
  /// Answers with an error, within the stream if there is one already, and cancels what still runs.
  void fail(const ApiError& error, SteadyTime now);
  /// The client went.
  void on_gone(SteadyTime now);
  /// Begins the stream although there is no token yet: the client has waited long enough for a sign of life.
  void open_stream();

  bool waits_for_stream() const { return plan_.stream && !answered_ && !stream_begun_; }
  SteadyTime arrived() const { return arrived_; }
  bool answered() const { return answered_; }
  /// Answered, and the engine has let go of all choices.
  bool done() const { return answered_ && open_ == 0; }

 private:
  struct Choice {
    explicit Choice(ChoiceText t) : text(std::move(t)) {}
    std::optional<RequestId> id;  ///< while the engine has it
    ChoiceText text;
    std::vector<ScoredToken> prompt_scores;
    std::optional<RequestEnd> end;
    bool begun = false;        ///< its first chunk is out
    bool wrote = false;        ///< so is its first token
    bool prompt_said = false;  ///< so are the prompt's ids, if they are wanted
    bool cancelled = false;    ///< by us, behind a stop string
    int64_t since_chunk = 0;   ///< tokens
    std::optional<SteadyTime> last_token;
    std::string logged;  ///< the beginning of its text, if the log wants it
    // Of an answer that is not streamed.
    std::string whole;
    std::vector<PlacedToken> tokens;
    TokenIds ids;
  };

  const TokenIds& prompt_of(size_t index) const { return plan_.prompts[index / static_cast<size_t>(plan_.n)]; }
  std::string_view echo_of(size_t index) const;
  Usage usage() const;
  Timings timings(SteadyTime now) const;
  static std::string_view finish_reason(const Choice& choice);
  static std::string stop_reason(const Choice& choice);

  /// The ids of its prompt, once and if they are wanted; else null.
  const TokenIds* say_prompt(size_t index);
  void note_token(Choice& choice, SteadyTime now);
  /// What is released, into delta_.
  void take_delta(Choice& choice);
  void note_content();
  /// Of an answer, besides those that every one has.
  HeaderFields headers(std::string timing) const;
  void begin_choice(size_t index);
  void write_delta(size_t index, bool last);
  void write_finish(size_t index, SteadyTime now);
  void keep_delta(Choice& choice);
  void end_choice(size_t index, RequestEnd end, SteadyTime now);
  void send();
  void answer_whole(SteadyTime now);
  void finish_stream(SteadyTime now);
  void cancel_rest();
  /// Fills the record and the notes; close() hands the record out and lets go of the exchange.
  void conclude(int status, std::string_view reason, SteadyTime now);
  void close();

  std::shared_ptr<Exchange> exchange_;
  Plan plan_;
  const ServedModel& model_;
  const LiveOptions& options_;
  Format format_;
  std::vector<Choice> choices_;
  SteadyTime arrived_;
  std::string out_;  ///< events of this step
  TextDelta delta_;
  size_t open_ = 0, ended_ = 0;
  bool stream_begun_ = false, answered_ = false;
  RequestRecord record_;
};

/// How the failure of a request reads to its client.
ApiError to_api_error(const RequestEnd& end);

}  // namespace infernum::server::openai
