// Encoding speed in MB/s: the golden styles on English prose, and any vocabulary given by file.
// INFERNUM_BENCH_TOKENIZER=<tokenizer.json> adds a real one.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "text/tokenizer.h"

namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

const std::string& prose() {
  static const std::string text = [] {
    const std::string once = read_file(INFERNUM_SOURCE_DIR "/tests/data/storyteller/val.txt");
    std::string repeated;
    while (repeated.size() < (8 << 20) && !once.empty()) repeated += once;
    return repeated;
  }();
  return text;
}

void encode(benchmark::State& state, const std::string& json) {
  const infernum::Tokenizer tokenizer = infernum::Tokenizer::from_json(json);
  size_t tokens = 0;
  for (auto _ : state) {
    const auto ids = tokenizer.encode(prose());
    tokens = ids.size();
    benchmark::DoNotOptimize(ids.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * static_cast<int64_t>(prose().size()));
  state.counters["bytes_per_token"] = static_cast<double>(prose().size()) / static_cast<double>(tokens);
}

void load(benchmark::State& state, const std::string& json) {
  for (auto _ : state) benchmark::DoNotOptimize(infernum::Tokenizer::from_json(json).vocab_size());
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  for (const char* style : {"llama3", "qwen2", "o200k", "deepseek", "gpt2", "starcoder", "falcon", "llama2-spm", "gemma-spm",
                            "mistral-metaspace", "unigram", "wordpiece"}) {
    const std::string json = read_file(std::string(INFERNUM_BINARY_DIR "/data/tok/") + style + "/tokenizer.json");
    if (!json.empty()) benchmark::RegisterBenchmark((std::string("encode/") + style).c_str(), encode, json)->Unit(benchmark::kMillisecond);
  }
  if (const char* path = std::getenv("INFERNUM_BENCH_TOKENIZER")) {
    const std::string json = read_file(path);
    benchmark::RegisterBenchmark("encode/file", encode, json)->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark("load/file", load, json)->Unit(benchmark::kMillisecond);
  }
  benchmark::RunSpecifiedBenchmarks();
}
