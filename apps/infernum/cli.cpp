#include "cli.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <new>
#include <numeric>

#include "core/check.h"
#include "models/synthetic.h"
#include "options.h"

namespace infernum::app {
namespace {

/// Levenshtein distance.
size_t distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); i++) {
    size_t diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); j++) {
      const size_t replaced = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

/// The known name closest to `given`, or "" when none is close.
std::string nearest(const std::string& given, const std::vector<std::string>& known) {
  std::string best;
  size_t least = std::max<size_t>(2, given.size() / 3) + 1;
  for (const auto& name : known)
    if (const size_t d = distance(given, name); d < least) least = d, best = name;
  return best;
}

/// "8k" = 8192, "4M": binary multiples.
const CLI::AsSizeValue counts(false);

std::string env_name(std::string flag) {
  std::replace(flag.begin(), flag.end(), '-', '_');
  std::transform(flag.begin(), flag.end(), flag.begin(), [](unsigned char c) { return std::toupper(c); });
  return "INFERNUM_" + flag;
}

/// Adds --name with its environment variable.
template <class T>
CLI::Option* add(CLI::App* app, const std::string& name, T& value, const std::string& help) {
  return app->add_option("--" + name, value, help)->envname(env_name(name))->capture_default_str();
}

void add_model(CLI::App* app, ModelFlags& f, bool positional = true) {
  if (positional) app->add_option("model", f.model, "folder with config.json, .safetensors or .gguf file; default: the bundled storyteller");
  add(app, "threads", f.threads, "0: all that this process may use")->check(CLI::Range(0, 1024));
  add(app, "tensor-parallel-size", f.ranks, "ranks, as threads of this process")->check(CLI::Range(1, 64));
  add(app, "max-model-len", f.max_model_len, "longest sequence in tokens; 0: what the config says")->transform(counts);
  add(app, "dtype", f.dtype, "activations: f32, bf16 or f16");
  add(app, "kv-cache-dtype", f.kv_cache_dtype, "auto (as --dtype), f32, bf16 or f16");
  add(app, "cpu-isa", f.isa, "portable, avx2 or avx512; default: the best of this machine");
  add(app, "fusion", f.fusion, "fused blocks: on, off, or check (run both forms and compare)");
}

void add_run(CLI::App& root, RunFlags& f) {
  CLI::App* app = root.add_subcommand("run", "answer a prompt, or chat in the terminal");
  add_model(app, f);
  app->add_option("prompt", f.prompt, "text; without one: standard input if it is piped, else a chat");
  add(app, "system", f.system, "system message");
  add(app, "chat-template", f.chat_template_file, "file with a Jinja template, instead of the model's own");
  app->add_flag("--raw", f.raw, "complete the text as it is, without the chat template");
  app->add_flag("--interactive", f.interactive, "chat even when standard input is not a terminal");
  app->add_flag("--stats", f.stats, "speed and memory on stderr after every answer");
  app->add_flag("--no-history", f.no_history, "keep no history of what is typed");
  add(app, "max-tokens", f.max_tokens, "0: until the context is full")->transform(counts);
  app->add_option("--stop", f.stop, "text that ends the answer; may be given several times");
  auto& s = f.sampling;
  for (CLI::Option* o : {add(app, "temperature", s.temperature, "0: always the most probable token"), add(app, "top-k", s.top_k, "0: off"),
                         add(app, "top-p", s.top_p, "1: off"), add(app, "min-p", s.min_p, "0: off"), add(app, "typical-p", s.typical_p, "1: off"),
                         add(app, "repetition-penalty", s.repetition_penalty, "1: off")})
    o->each([&f](const std::string&) { f.greedy_default = false; });
  add(app, "frequency-penalty", s.frequency_penalty, "0: off");
  add(app, "presence-penalty", s.presence_penalty, "0: off");
  add(app, "seed", s.seed, "0: a random one");
  app->footer("Sampling parameters that are not given come from the model's generation_config.json.");
}

void add_bench(CLI::App& root, BenchFlags& f) {
  CLI::App* app = root.add_subcommand("bench", "measure prefill and decode");
  add_model(app, f);
  std::string names;
  for (auto name : shape_names()) names += (names.empty() ? "" : ", ") + std::string(name);
  add(app, "shape", f.shape, "a published shape with synthetic weights instead of a model: " + names);
  add(app, "format", f.format, "of the synthetic weights: bf16, f16, f32, q8_0, q4_0, q4_k, ...");
  app->add_option("-p,--prompt-tokens", f.prompt_tokens, "prefill lengths; 0: none")->delimiter(',')->capture_default_str();
  app->add_option("-n,--generated-tokens", f.generated_tokens, "decode lengths; 0: none")->delimiter(',')->capture_default_str();
  app->add_option("-d,--depth", f.depth, "tokens in the cache before decoding")->transform(counts);
  app->add_option("-r,--repetitions", f.repetitions, "runs of each test")->check(CLI::Range(1, 1000))->capture_default_str();
  app->add_flag("--json", f.json, "machine-readable output");
}

void add_perplexity(CLI::App& root, PerplexityFlags& f) {
  CLI::App* app = root.add_subcommand("perplexity", "of a text file");
  add_model(app, f, false);
  app->add_option("model", f.model, "folder or file")->required();
  app->add_option("file", f.file, "text")->required();
  add(app, "context", f.context, "tokens per window; the second half of each counts")->transform(counts);
  add(app, "bytes", f.bytes, "use only the first bytes of the text; 0: all")->transform(counts);
}

void add_inspect(CLI::App& root, InspectFlags& f) {
  CLI::App* app = root.add_subcommand("inspect", "what a model is and costs, from its config and headers alone");
  add_model(app, f);
  app->add_option("--ranks", f.ranks, "as with that many tensor-parallel ranks")->check(CLI::Range(1, 1024));
  add(app, "graph", f.graph, "write the graph of a prefill to this file: .dot or .json");
  add(app, "tokens", f.tokens, "length of the prefill")->transform(counts)->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  app->add_flag("--tensors", f.tensors, "list every weight with its shape on one rank");
  app->add_flag("--json", f.json, "machine-readable output");
}

void add_tools(CLI::App& root, VerifyFlags& v, QuantizeFlags& q, TokenizeFlags& t, TemplateFlags& m) {
  CLI::App* app = root.add_subcommand("verify", "compare a model with recorded outputs of the reference implementation");
  add_model(app, v);
  app->add_option("--golden", v.golden, "safetensors file with promptN.ids, .logits, .hiddenK, greedyN.*")->required();
  add(app, "tolerance", v.tolerance, "largest relative error");
  app->add_flag("--bf16-frequencies", v.bf16_frequencies, "the recorded model was cast to bfloat16 with its rotary frequencies");
  app = root.add_subcommand("quantize", "write a GGUF file with all matrices in one type");
  app->add_option("input", q.input, "folder or file")->required();
  app->add_option("output", q.output, ".gguf file")->required();
  app->add_option("type", q.type, "q8_0, q4_0, q4_k, q5_k, q6_k, ...")->required();
  add(app, "threads", q.threads, "0: all that this process may use");
  app = root.add_subcommand("tokenize", "text to token ids, or back");
  app->add_option("model", t.model, "folder or file; default: the bundled storyteller");
  app->add_option("text", t.text, "default: standard input");
  app->add_flag("--no-special", t.no_special, "do not add BOS, EOS and the like");
  app->add_flag("--pieces", t.pieces, "one token per line with its text");
  app->add_flag("--decode", t.decode, "the text is a list of ids");
  app = root.add_subcommand("template", "render a conversation (JSON list of messages) with the model's chat template");
  app->add_option("model", m.model, "folder or file; default: the bundled storyteller");
  app->add_option("messages", m.messages_file, "JSON file; default: standard input");
  app->add_flag("--no-generation-prompt", m.no_generation_prompt, "end after the last message");
  app->add_flag("--ids", m.ids, "token ids instead of text");
}

/// What was not understood, with the nearest flag or command of the app in charge.
int usage_error(const CLI::App& root, const CLI::ParseError& e, int argc, char** argv) {
  const auto chosen = root.get_subcommands();
  const CLI::App& app = chosen.empty() ? root : *chosen.front();
  std::vector<std::string> flags, commands;
  for (const CLI::Option* o : app.get_options())
    for (const auto& name : o->get_lnames()) flags.push_back("--" + name);
  for (const CLI::App* s : root.get_subcommands([](const CLI::App*) { return true; })) commands.push_back(s->get_name());
  std::fprintf(stderr, "infernum: %s\n", e.what());
  for (int i = 1; i < argc; i++) {
    const std::string given = std::string(argv[i]).substr(0, std::string(argv[i]).find('='));
    if (given.rfind("--", 0) == 0 && std::find(flags.begin(), flags.end(), given) == flags.end()) {
      if (const auto best = nearest(given, flags); !best.empty()) std::fprintf(stderr, "did you mean %s?\n", best.c_str());
    } else if (i == 1 && chosen.empty()) {
      if (const auto best = nearest(given, commands); !best.empty()) std::fprintf(stderr, "did you mean %s?\n", best.c_str());
    }
  }
  std::fprintf(stderr, "see: infernum %s--help\n", chosen.empty() ? "" : (app.get_name() + " ").c_str());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App root("Infernum: run language models exactly and fast.", "infernum");
  root.require_subcommand(1);
  root.set_version_flag("--version", "infernum " INFERNUM_VERSION);
  RunFlags run_flags;
  BenchFlags bench_flags;
  PerplexityFlags perplexity_flags;
  InspectFlags inspect_flags;
  VerifyFlags verify_flags;
  QuantizeFlags quantize_flags;
  TokenizeFlags tokenize_flags;
  TemplateFlags template_flags;
  add_run(root, run_flags);
  add_bench(root, bench_flags);
  add_perplexity(root, perplexity_flags);
  add_inspect(root, inspect_flags);
  add_tools(root, verify_flags, quantize_flags, tokenize_flags, template_flags);
  try {
    root.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return root.exit(e);  // --help, --version
  } catch (const CLI::ParseError& e) {
    return usage_error(root, e, argc, argv);
  }
  try {
    const std::string command = root.get_subcommands().front()->get_name();
    if (command == "run") return run(run_flags);
    if (command == "bench") return bench(bench_flags);
    if (command == "perplexity") return perplexity(perplexity_flags);
    if (command == "inspect") return inspect(inspect_flags);
    if (command == "verify") return verify(verify_flags);
    if (command == "quantize") return quantize(quantize_flags);
    if (command == "tokenize") return tokenize(tokenize_flags);
    return render_template(template_flags);
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "infernum: not enough memory\n");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "infernum: %s\n", e.what());
  }
  return 1;
}

}  // namespace infernum::app
