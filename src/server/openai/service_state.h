// OpenAiService::State: the requests under way, between the routes, the workers and the engine.
#pragma once
#include <atomic>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "server/openai/api_error.h"
#include "server/openai/fields.h"
#include "server/openai/json_body.h"
#include "server/openai/live_request.h"
#include "server/openai/plan.h"
#include "server/openai/service.h"
#include "server/openai/worker_pool.h"

namespace infernum::server {

class OpenAiService::State : public std::enable_shared_from_this<OpenAiService::State> {
 public:
  State(ServedModel model, Engine& engine, IoLoop& loop, ServiceOptions options);

  /// What reading a request leads to: an answer, or work for the engine.
  using Outcome = std::variant<HttpResponse, openai::Plan>;
  using Reading = Outcome (State::*)(openai::JsonParser&, const HttpRequest&) const;
  /// Reads the request here or on a worker, by its length, and goes on with the outcome here.
  void handle(const std::shared_ptr<Exchange>& exchange, Reading reading);

  Outcome read_chat(openai::JsonParser& parser, const HttpRequest& request) const;
  Outcome read_completion(openai::JsonParser& parser, const HttpRequest& request) const;
  Outcome tokenize(openai::JsonParser& parser, const HttpRequest& request) const;
  Outcome detokenize(openai::JsonParser& parser, const HttpRequest& request) const;
  Outcome apply_template(openai::JsonParser& parser, const HttpRequest& request) const;
  /// Answers as a health check does, by one token of the engine.
  void generate_one(std::shared_ptr<Exchange> exchange);
  HttpResponse list_models() const;
  HttpResponse show_model(const HttpRequest& request) const;
  HttpResponse tokenizer_info() const;

  const ServiceOptions& options() const { return options_; }
  ServedNames& names() { return *model_.names; }
  size_t live() const { return live_.size(); }
  /// Takes the engine's on_step; behind construction, as it refers to the shared state.
  void listen();
  void drop_all();

 private:
  using Live = std::shared_ptr<openai::LiveRequest>;
  struct Place {
    Live request;
    size_t choice;
  };

  Outcome read(Reading reading, openai::JsonParser& parser, const HttpRequest& request) const;
  Outcome read_generation(openai::Shape shape, openai::JsonParser& parser, const HttpRequest& request) const;
  /// For a request that brings none.
  uint64_t new_seed(const HttpRequest& request) const;
  void go_on(const std::shared_ptr<Exchange>& exchange, Outcome outcome, SteadyTime arrived);
  void start(const std::shared_ptr<Exchange>& exchange, openai::Plan plan, SteadyTime arrived);
  /// False if the engine does not take it; the request is answered then.
  bool submit(const Live& live, size_t choice, EngineRequest request, SteadyTime now);
  void on_step(std::vector<EngineEvent> events);
  void settle(const Live& live);
  void watch_streams();
  void log_unknown(const std::vector<std::string>& names);
  openai::ApiError refusal(Admission admission) const;
  std::string new_id(const openai::Plan& plan);
  void write_model(std::string& out) const;
  void set_deadlines(EngineRequest& request, const HttpRequest& http, SteadyTime arrived) const;

  ServedModel model_;
  Engine& engine_;
  IoLoop& loop_;
  ServiceOptions options_;
  openai::LiveOptions live_options_;
  openai::DecodeLimits decode_limits_;
  openai::PlanLimits plan_limits_;
  openai::JsonParser parser_;
  std::unordered_map<RequestId, Place> by_id_;
  std::unordered_set<Live> live_;
  std::unique_ptr<IoLoop::Timer> watch_;
  std::set<std::string> logged_;
  RequestId next_id_ = 1;
  mutable std::atomic<uint64_t> seeds_{0};  ///< that were made, here and on workers
  std::mt19937_64 random_;
  double mean_seconds_ = 1;     ///< of a request, lately
  openai::WorkerPool workers_;  ///< last: its jobs use the rest
};

}  // namespace infernum::server
