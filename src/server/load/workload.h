// Workload: the requests of a load test, made up from a seed or read from a file.
#pragma once
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace infernum::load {

/// How long prompts or answers are: "128", "64-256" (uniform), "normal:128:32" (mean and standard deviation, at least 1).
class Lengths {
 public:
  explicit Lengths(std::string_view text);
  int64_t sample(std::mt19937_64& random) const;

 private:
  enum class Kind { Uniform, Normal } kind_ = Kind::Uniform;
  double first_ = 0, second_ = 0;  // low and high, or mean and deviation
};

struct Workload {
  std::string model;  ///< empty: the server's default
  bool chat = true;   ///< else completions
  bool stream = true;
  int64_t requests = 100;
  std::string input_len = "128";  ///< words of a made-up prompt, each about one token; or ids
  std::string output_len = "64";  ///< max_tokens
  int64_t shared_prefix = 0;      ///< words or ids that all made-up prompts begin with, in front of their own
  int64_t ids_below = 0;          ///< made-up prompts of completions are token ids from 0 to below this; 0: words
  std::string prompts_file;       ///< one prompt a line, or .jsonl: an object with prompt or messages, and maybe max_tokens
  bool ignore_eos = false;
  std::string extra_body;  ///< JSON object whose members every request gets
  uint64_t seed = 0;
};

/// Bodies of the requests, as JSON. Prompts of a file are used in turn. Throws on wrong input, naming the line.
std::vector<std::string> make_bodies(const Workload& workload);

/// A word of made-up text.
std::string_view random_word(std::mt19937_64& random);

}  // namespace infernum::load
