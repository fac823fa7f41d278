#include "cli.h"

#include <CLI/CLI.hpp>
#include <clocale>
#include <cstdio>
#include <new>

#include "bench_options.h"
#include "core/check.h"
#include "options.h"
#include "serve_options.h"
#include "session.h"
#include "values.h"

namespace infernum::app {

std::string env_name(std::string flag) {
  std::replace(flag.begin(), flag.end(), '-', '_');
  std::transform(flag.begin(), flag.end(), flag.begin(), [](unsigned char c) { return std::toupper(c); });
  return "INFERNUM_" + flag;
}

namespace {

/// Adds --name with its environment variable.
template <class T>
CLI::Option* add(CLI::App* app, const std::string& name, T& value, const std::string& help) {
  return app->add_option("--" + name, value, help)->envname(env_name(name))->capture_default_str();
}

/// Adds --name, which takes no value, with its environment variable.
void add_switch(CLI::App* app, const std::string& name, bool& value, const std::string& help) {
  app->add_flag("--" + name, value, help)->envname(env_name(name));
}

void add_threads(CLI::App* app, int& threads) {
  add(app, "threads", threads, "0: all that this process may use")->transform(whole(0, 1024));
}

void add_reference(CLI::App* app, ModelFlags& f, const std::string& name = "model") {
  app->add_option(name, f.model, "folder with config.json, .safetensors or .gguf file; default: the bundled storyteller");
}

/// What decides a model's cost, on whatever machine.
void add_shape(CLI::App* app, ModelFlags& f, int64_t most_ranks, const char* ranks) {
  app->add_option("--tensor-parallel-size,--ranks", f.ranks, ranks)
      ->envname(env_name("tensor-parallel-size"))
      ->capture_default_str()
      ->transform(whole(1, most_ranks));
  add(app, "max-model-len", f.max_model_len, "longest sequence in tokens; 0: what the config says")->transform(whole(0, INT32_MAX));
  add(app, "dtype", f.dtype,
      "auto: f32 on the CPU, bf16 on a GPU. CPU: what activations are rounded to where BF16 weights multiply them (f16 sets the cache "
      "alone); GPU: what they are stored as")
      ->check(one_of({"auto", "f32", "bf16", "f16"}));
  add(app, "kv-cache-dtype", f.kv_cache_dtype, "auto (as --dtype), f32, bf16 or f16")->check(one_of({"auto", "f32", "bf16", "f16"}));
  add(app, "fusion", f.fusion, "fused blocks: on, off, or check (run both forms and compare)")->check(one_of({"on", "off", "check"}));
}

/// A model to be run here.
void add_model(CLI::App* app, ModelFlags& f) {
  add(app, "device", f.device, "cpu, cuda or cuda:N");
  add(app, "gpu-memory-utilization", f.gpu_memory_utilization, "share of a GPU's memory for weights, cache and activations")
      ->check(between(0.05, 1));
  add_threads(app, f.threads);
  add_shape(app, f, 64, "ranks, as threads of this process");
  add(app, "cpu-isa", f.isa, "portable, avx2 or avx512; default: the best of this machine")->check(one_of({"portable", "avx2", "avx512"}));
}

void add_sampling(CLI::App* app, RunFlags& f) {
  auto& s = f.sampling;
  const auto given = [&f](CLI::Option* option, const char* key) { option->each([&f, key](const std::string&) { f.given.insert(key); }); };
  given(add(app, "temperature", s.temperature, "0: always the most probable token")->check(between(0, 100)), "temperature");
  given(add(app, "top-k", s.top_k, "0: off")->transform(whole(0, INT32_MAX)), "top_k");
  given(add(app, "top-p", s.top_p, "1: off")->check(between(0, 1, true)), "top_p");
  given(add(app, "min-p", s.min_p, "0: off")->check(between(0, 1)), "min_p");
  given(add(app, "typical-p", s.typical_p, "1: off")->check(between(0, 1, true)), "typical_p");
  given(add(app, "repetition-penalty", s.repetition_penalty, "1: off")->check(between(0, 100, true)), "repetition_penalty");
  add(app, "frequency-penalty", s.frequency_penalty, "0: off")->check(between(-2, 2));
  add(app, "presence-penalty", s.presence_penalty, "0: off")->check(between(-2, 2));
  add(app, "seed", s.seed, "0: a random one")->transform(whole(0, INT64_MAX));
}

void add_run(CLI::App& root, RunFlags& f) {
  CLI::App* app = root.add_subcommand("run", "answer a prompt, or chat in the terminal");
  add_reference(app, f);
  add_model(app, f);
  app->add_option("prompt", f.prompt, "text; piped standard input follows it; without either: a chat")->each([&f](const std::string&) {
    f.prompt_given = true;
  });
  add(app, "system", f.system, "system message");
  add(app, "chat-template", f.chat_template_file, "file with a Jinja template, instead of the model's own");
  add_switch(app, "raw", f.raw, "complete the text as it is, without the chat template");
  add_switch(app, "interactive", f.interactive, "chat even when standard input is not a terminal");
  add_switch(app, "stats", f.stats, "speed and memory on stderr after every answer");
  add_switch(app, "no-history", f.no_history, "keep no history of what is typed");
  add(app, "max-tokens", f.max_tokens, "0: until the context is full")->transform(whole(0, INT32_MAX));
  app->add_option("--stop", f.stop, "text that ends the answer; may be given several times")
      ->envname("INFERNUM_STOP")
      ->allow_extra_args(false);
  add_sampling(app, f);
  app->footer("Sampling parameters that are not given come from the model's generation_config.json or general.sampling.* metadata.");
}

void add_bench(CLI::App& root, BenchFlags& f) {
  CLI::App* app = root.add_subcommand("bench", "measure prefill and decode");
  add_reference(app, f, "path");  // its command serve has a --model
  add_model(app, f);
  add_synthetic_flags(app, f.shape, f.format);
  const auto add_short = [&](const char* names_of_flag, const char* env, auto& value, const char* help) {
    return app->add_option(names_of_flag, value, help)->envname(env)->capture_default_str();
  };
  add_short("-p,--prompt-tokens", "INFERNUM_PROMPT_TOKENS", f.prompt_tokens, "prefill lengths; 0: none")
      ->delimiter(',')
      ->transform(whole(0, INT32_MAX));
  add_short("-n,--generated-tokens", "INFERNUM_GENERATED_TOKENS", f.generated_tokens, "decode lengths; 0: none")
      ->delimiter(',')
      ->transform(whole(0, INT32_MAX));
  add_short("-d,--depth", "INFERNUM_DEPTH", f.depths, "tokens in the cache before decoding; several take turns token by token")
      ->delimiter(',')
      ->transform(whole(0, INT32_MAX));
  add_short("-r,--repetitions", "INFERNUM_REPETITIONS", f.repetitions, "runs of each test")->transform(whole(1, 1000));
  add_switch(app, "json", f.json, "machine-readable output");
  add_switch(app, "profile", f.profile, "time per op of every prefill and decode asked for, with its share of the floor");
}

void add_perplexity(CLI::App& root, PerplexityFlags& f) {
  CLI::App* app = root.add_subcommand("perplexity", "measure how well a model predicts a text file");
  add_model(app, f);
  app->add_option("model", f.model, "folder or file")->required();
  app->add_option("file", f.file, "text")->required();
  add(app, "context", f.context, "tokens per window; the second half of each counts")->transform(whole(4, INT32_MAX));
  add(app, "bytes", f.bytes, "use only the first bytes of the text; 0: all")->transform(whole(0, INT64_MAX));
}

void add_inspect(CLI::App& root, InspectFlags& f) {
  CLI::App* app = root.add_subcommand("inspect", "what a model is and costs, from its config and headers alone");
  add_reference(app, f);
  add_shape(app, f, 1024, "as with that many ranks");
  add(app, "graph", f.graph, "write the graph of a prefill to this file: .dot or .json");
  add(app, "tokens", f.tokens, "length of the prefill")->transform(whole(1, 1 << 30));
  add_switch(app, "tensors", f.tensors, "list every weight with its shape on one rank");
  add_switch(app, "json", f.json, "machine-readable output");
}

void add_tools(CLI::App& root, VerifyFlags& v, QuantizeFlags& q, QuantizeFlags& c, TokenizeFlags& t, TemplateFlags& m) {
  CLI::App* app = root.add_subcommand("verify", "compare a model with recorded outputs of the reference implementation");
  add_reference(app, v);
  add_model(app, v);
  add(app, "golden", v.golden, "safetensors file with promptN.ids, .logits, .hiddenK, greedyN.*")->required();
  add(app, "tolerance", v.tolerance, "largest relative error")->check(between(0, 1));
  add_switch(app, "bf16-frequencies", v.bf16_frequencies, "the recorded model was cast to bfloat16 with its rotary frequencies");
  app = root.add_subcommand("quantize", "write a GGUF file with all matrices in one type");
  app->add_option("input", q.input, "folder or file")->required();
  app->add_option("output", q.output, ".gguf file")->required();
  app->add_option("type", q.type, "q8_0, q4_0, q4_k, q5_k, q6_k, q4_k_m, ...")->required()->check(gguf_type(true));
  add_threads(app, q.threads);
  app = root.add_subcommand("convert", "write a GGUF file of the same model, its weights as they are stored");
  app->add_option("input", c.input, "folder or file")->required();
  app->add_option("output", c.output, ".gguf file")->required();
  add(app, "type", c.type, "f32, f16, bf16, q8_0, ...; default: as stored")->check(gguf_type(true));
  add_threads(app, c.threads);
  app = root.add_subcommand("tokenize", "text to token ids, or back");
  app->add_option("model", t.model, "folder or file; default: the bundled storyteller");
  app->add_option("text", t.text, "default: standard input")->each([&t](const std::string&) { t.text_given = true; });
  add_switch(app, "no-special", t.no_special, "do not add BOS, EOS and the like");
  add_switch(app, "pieces", t.pieces, "one token per line with its text");
  add_switch(app, "decode", t.decode, "the text is a list of ids");
  app = root.add_subcommand("template", "render a conversation (JSON list of messages) with the model's chat template");
  app->add_option("model", m.model, "folder or file; default: the bundled storyteller");
  app->add_option("messages", m.messages_file, "JSON file; default: standard input");
  add(app, "chat-template", m.chat_template_file, "file with a Jinja template, instead of the model's own");
  add_switch(app, "no-generation-prompt", m.no_generation_prompt, "end after the last message");
  add_switch(app, "ids", m.ids, "token ids instead of text");
}

/// "unknown flag --sed; did you mean --seed?", or "" when what was wrong is something else.
std::string unknown_name(const CLI::App& root, const CLI::App& app, int argc, char** argv) {
  std::vector<std::string> flags, commands;
  for (const CLI::Option* o : app.get_options())
    for (const auto& name : o->get_lnames()) flags.push_back("--" + name);
  for (const CLI::App* s : root.get_subcommands([](const CLI::App*) { return true; })) commands.push_back(s->get_name());
  const auto message = [](const std::string& what, const std::string& given, const std::vector<std::string>& known) {
    const std::string best = nearest(given, known);
    return "unknown " + what + " " + given + (best.empty() ? "" : "; did you mean " + best + "?");
  };
  for (int i = 1; i < argc && argv[i] != std::string_view("--"); i++) {
    const std::string given = std::string(argv[i]).substr(0, std::string(argv[i]).find('='));
    const bool is_flag = given.size() > 2 && given.rfind("--", 0) == 0;
    if (is_flag && std::find(flags.begin(), flags.end(), given) == flags.end()) return message("flag", given, flags);
    if (i == 1 && &app == &root && given[0] != '-') return message("command", given, commands);
  }
  return "";
}

/// "bench serve"
std::string command_name(const CLI::App& app) {
  const CLI::App* above = app.get_parent();
  return (above && above->get_parent() ? above->get_name() + " " : "") + app.get_name();
}

/// What was not understood, with the nearest flag or command of the app in charge.
int usage_error(const CLI::App& root, const CLI::ParseError& e, int argc, char** argv) {
  auto chosen = root.get_subcommands();
  if (!chosen.empty() && !chosen.front()->get_subcommands().empty()) chosen = chosen.front()->get_subcommands();  // of bench
  const CLI::App& app = chosen.empty() ? root : *chosen.front();
  std::string message;
  const auto kind = static_cast<CLI::ExitCodes>(e.get_exit_code());
  if (kind == CLI::ExitCodes::ExtrasError || kind == CLI::ExitCodes::RequiredError) message = unknown_name(root, app, argc, argv);
  if (message.empty()) message = e.what();
  std::fprintf(stderr, "infernum: %s\nsee: infernum %s--help\n", message.c_str(), chosen.empty() ? "" : (command_name(app) + " ").c_str());
  return 2;
}

}  // namespace

void add_model_flags(CLI::App* app, ModelFlags& flags) {
  add_reference(app, flags);
  add_model(app, flags);
}

namespace {

/// What every command was told; one of them runs.
struct Told {
  RunFlags run;
  BenchFlags bench;
  BenchServeFlags bench_serve;
  BenchThroughputFlags bench_throughput;
  BenchOpsFlags bench_ops;
  PerplexityFlags perplexity;
  InspectFlags inspect;
  VerifyFlags verify;
  QuantizeFlags quantize, convert;
  TokenizeFlags tokenize;
  TemplateFlags render_template;
  ServeFlags serve;
};

void add_commands(CLI::App& root, Told& told) {
  root.require_subcommand(1);
  root.footer(
      "Every flag has an environment variable, shown in the help of its command; a flag wins over it.\n"
      "Exit codes: 0 done, 1 failure, 2 wrong usage, 130 interrupted.");
  root.set_version_flag("--version", "infernum " INFERNUM_VERSION);
  add_run(root, told.run);
  add_serve_command(root, told.serve, [](CLI::App* app, ModelFlags& f) {
    add_reference(app, f);
    add_model(app, f);
  });
  add_bench(root, told.bench);
  add_bench_commands(*root.get_subcommand("bench"), told.bench_serve, told.bench_throughput, told.bench_ops);
  add_perplexity(root, told.perplexity);
  add_inspect(root, told.inspect);
  add_tools(root, told.verify, told.quantize, told.convert, told.tokenize, told.render_template);
}

int run_command(const std::string& command, const Told& told, int argc, char** argv) {
  if (command == "run") return run(told.run);
  if (command == "serve") return serve(argc, argv);
  if (command == "bench serve") return bench_serve(told.bench_serve);
  if (command == "bench throughput") return bench_throughput(told.bench_throughput);
  if (command == "bench ops") return bench_ops(told.bench_ops);
  if (command == "bench") return bench(told.bench);
  if (command == "perplexity") return perplexity(told.perplexity);
  if (command == "inspect") return inspect(told.inspect);
  if (command == "verify") return verify(told.verify);
  if (command == "quantize") return quantize(told.quantize);
  if (command == "convert") return convert(told.convert);
  if (command == "tokenize") return tokenize(told.tokenize);
  return render_template(told.render_template);
}

}  // namespace

int main(int argc, char** argv) {
  std::setlocale(LC_CTYPE, "C.UTF-8");  // line editing: text is UTF-8 whatever the environment says
  end_on_interrupt();
  CLI::App root("Infernum: run language models exactly and fast.", "infernum");
  Told told;
  add_commands(root, told);
  try {
    if (argc > 1 && argv[1] == std::string_view("serve")) apply_config_file(*root.get_subcommand("serve"), argc, argv);
    root.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return root.exit(e);  // --help, --version
  } catch (const CLI::ParseError& e) {
    return usage_error(root, e, argc, argv);
  } catch (const Error& e) {
    std::fprintf(stderr, "infernum: %s\n", e.what());
    return 2;
  }
  try {
    const CLI::App& chosen = *root.get_subcommands().front();
    const int code =
        run_command(command_name(chosen.get_subcommands().empty() ? chosen : *chosen.get_subcommands().front()), told, argc, argv);
    check(std::fflush(stdout) == 0 && !std::ferror(stdout), "cannot write to standard output");
    return code;
  } catch (const Interrupted&) {
    return 130;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "infernum: not enough memory\n");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "infernum: %s\n", e.what());
  }
  return 1;
}

}  // namespace infernum::app
