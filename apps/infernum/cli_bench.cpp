// The flags of the commands below `infernum bench`.
#include <CLI/CLI.hpp>

#include "bench_options.h"
#include "cli.h"
#include "models/synthetic.h"
#include "server/load/summary.h"
#include "values.h"

namespace infernum::app {
namespace {

template <class T>
CLI::Option* add(CLI::App* app, const std::string& name, T& value, const std::string& help) {
  return app->add_option("--" + name, value, help)->envname(env_name(name))->capture_default_str();
}

/// A value that `parse` takes without throwing.
template <class Parse>
CLI::Validator readable(Parse parse) {
  return CLI::Validator(
      [parse](std::string& text) {
        try {
          parse(text);
        } catch (const std::exception& e) {
          const std::string what = e.what();
          return what.substr(0, what.rfind(" ["));  // without the place in our code
        }
        return std::string();
      },
      "");
}

void add_workload(CLI::App* app, load::Workload& w) {
  const auto lengths = readable([](const std::string& text) { load::Lengths{text}; });
  add(app, "num-prompts", w.requests, "requests per load")->transform(whole(1, 10'000'000));
  add(app, "input-len", w.input_len, "tokens per made-up prompt: N, LOW-HIGH or normal:MEAN:DEVIATION")->check(lengths);
  add(app, "output-len", w.output_len, "tokens to generate, likewise")->check(lengths);
  add(app, "prompts", w.prompts_file, "file with a prompt a line, or .jsonl with prompt or messages; instead of made-up ones");
  add(app, "shared-prefix", w.shared_prefix, "tokens that all made-up prompts begin with, before their own")->transform(whole(0, 16 << 20));
  add(app, "seed", w.seed, "of prompts, lengths and arrival times")->transform(whole(0, INT64_MAX));
}

}  // namespace

void add_synthetic_flags(CLI::App* app, std::string& shape, std::string& format) {
  std::vector<std::string> shapes;
  std::string names;
  for (auto name : shape_names()) {
    names += (names.empty() ? "" : ", ") + std::string(name);
    shapes.emplace_back(name);
  }
  add(app, "shape", shape, "a published shape with synthetic weights instead of a model, NAME or NAME/N for its first N layers: " + names)
      ->check([shapes, known = one_of(shapes)](const std::string& value) {
        const std::string name = value.substr(0, value.find('/')), closest = nearest(name, shapes);
        const std::string wrong = known(name);
        return wrong.empty() || closest.empty() ? wrong : wrong + "; did you mean " + closest + "?";
      });
  add(app, "format", format, "of the synthetic weights: bf16, f16, f32, q8_0, q4_0, q4_k, ...")->check(gguf_type(false));
}

void add_bench_commands(CLI::App& bench, BenchServeFlags& f, BenchThroughputFlags& t, BenchOpsFlags& o) {
  bench.require_subcommand(0, 1);
  CLI::App* app = bench.add_subcommand("serve", "measure a running server of the OpenAI API under load");
  add(app, "url", f.url, "http://HOST:PORT[/PATH] of the server")->check(readable([](const std::string& url) { load::parse_url(url); }));
  add(app, "model", f.workload.model, "name to ask for; default: the server's");
  add(app, "endpoint", f.endpoint, "chat or completions")->check(one_of({"chat", "completions"}));
  CLI::Option* rate =
      add(app, "request-rate", f.request_rates, "open loop: requests per second at random (Poisson) times; a list is a sweep")
          ->delimiter(',')
          ->check(between(0, 1e6, true));
  add(app, "concurrency", f.concurrencies, "closed loop: so many requests at any time; a list is a sweep; default 1")
      ->delimiter(',')
      ->transform(whole(1, 100'000))
      ->excludes(rate);
  add_workload(app, f.workload);
  add(app, "duration", f.duration,
      "of an open loop: seconds per load, each with as many requests as its rate gives; instead of --num-prompts")
      ->check(between(0, 86400, true))
      ->needs(rate)
      ->excludes("--num-prompts");
  add(app, "random-ids", f.workload.ids_below, "made-up prompts of completions are token ids below this; 0: words")
      ->transform(whole(0, INT32_MAX));
  app->add_flag("--ignore-eos", f.workload.ignore_eos, "generate the full length")->envname(env_name("ignore-eos"));
  app->add_flag("--no-stream", f.no_stream, "ask for whole answers")->envname(env_name("no-stream"));
  add(app, "extra-body", f.workload.extra_body, "JSON object whose members every request gets");
  add(app, "slo", f.slo, "limits that count for goodput, as ttft:200ms,itl:50ms,tpot:40ms,e2e:10s")->check(readable(load::parse_slo));
  app->add_option("--api-key", f.api_key, "sent as a bearer token")->envname(env_name("api-key"));
  add(app, "warm-up", f.warm_up, "requests before the first load, which do not count")->transform(whole(0, 100'000));
  add(app, "pause", f.pause, "seconds between loads")->check(between(0, 3600));
  add(app, "timeout", f.timeout, "seconds per request")->check(between(0, 86400, true));
  add(app, "max-connections", f.max_connections, "of an open loop; requests beyond wait, and their waiting counts")
      ->transform(whole(1, 1'000'000));
  app->add_option("--json", f.json_file, "write the figures to this file; - is standard output, without the table");
  app->add_option("--plot", f.plot_file, "write plots of latency against load to this .svg or .html file");

  app = bench.add_subcommand("throughput", "measure a model on many prompts at once, without a server");
  add_model_flags(app, t);
  add_workload(app, t.workload);
  add(app, "concurrency", t.concurrency, "sequences at once")->transform(whole(1, 4096));
  add(app, "max-num-batched-tokens", t.max_num_batched_tokens, "most tokens of one prompt in a step")->transform(whole(1, 1 << 20));
  app->add_flag("--json", t.json, "machine-readable output");

  app = bench.add_subcommand("ops", "measure the ops of a step one by one, each with its share of the floor");
  add_model_flags(app, o);
  add_synthetic_flags(app, o.shape, o.format);
  app->add_option("--op", o.ops, "only these, as matmul or attention; default: all of a step")
      ->envname(env_name("op"))
      ->delimiter(',')
      ->allow_extra_args(false);
  add(app, "tokens", o.tokens, "the last so many tokens of a sequence in one step; a list is a sweep")
      ->delimiter(',')
      ->transform(whole(1, 1 << 20));
  add(app, "context", o.context, "tokens of the sequence, those of the step included; at least these")->transform(whole(1, 1 << 20));
  add(app, "seconds", o.seconds, "to measure each op for, about")->check(between(0, 60));
  app->add_flag("--json", o.json, "machine-readable output");
}

}  // namespace infernum::app
