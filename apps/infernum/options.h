// What each command of the program can be told. Filled by cli.cpp, used by the commands.
#pragma once
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "models/model.h"
#include "runtime/sampler.h"

namespace infernum::app {

struct ModelFlags {
  std::string model;  ///< empty: the bundled one
  int threads = 0;
  int ranks = 1;
  int64_t max_model_len = 0;
  double gpu_memory_utilization = 0.9;
  std::string device = "cpu", dtype = "auto", kv_cache_dtype = "auto", isa, fusion = "on";
};

struct RunFlags : ModelFlags {
  std::string prompt, system, chat_template_file;
  SamplingParams sampling;
  std::vector<std::string> stop;
  int64_t max_tokens = 0;
  bool raw = false, stats = false, no_history = false, interactive = false;
  bool prompt_given = false;                 ///< as an argument, even if empty
  std::set<std::string, std::less<>> given;  ///< sampling parameters; the checkpoint decides the others
};

struct BenchFlags : ModelFlags {
  std::string shape, format = "bf16";
  std::vector<int64_t> prompt_tokens{512}, generated_tokens{128};
  std::vector<int64_t> depths{0};  ///< tokens in the cache before decoding
  int repetitions = 3;
  bool json = false, profile = false;
};

struct PerplexityFlags : ModelFlags {
  std::string file;
  int64_t context = 512, bytes = 0;
};

struct InspectFlags : ModelFlags {
  std::string graph;
  int64_t tokens = 512;
  bool tensors = false, json = false;
};

struct VerifyFlags : ModelFlags {
  std::string golden;
  double tolerance = 1e-4;
  bool bf16_frequencies = false;
};

struct QuantizeFlags {
  std::string input, output, type;
  int threads = 0;
};

struct TokenizeFlags {
  std::string model, text;
  bool text_given = false;
  bool no_special = false, decode = false, pieces = false;
};

struct TemplateFlags {
  std::string model, messages_file, chat_template_file;
  bool no_generation_prompt = false, ids = false;
};

/// Each returns the exit code.
int run(const RunFlags& flags);
int bench(const BenchFlags& flags);
int perplexity(const PerplexityFlags& flags);
int inspect(const InspectFlags& flags);
int verify(const VerifyFlags& flags);
int quantize(const QuantizeFlags& flags);
int convert(const QuantizeFlags& flags);  ///< type empty: as stored
int tokenize(const TokenizeFlags& flags);
int render_template(const TemplateFlags& flags);

}  // namespace infernum::app
