// BlasLt::search(): the fastest algorithm by the clock, and the file that remembers it.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>

#include "backends/cuda/blas_lt_state.h"
#include "backends/cuda/error.h"
#include "backends/cuda/graph.h"
#include "core/half.h"

namespace infernum {
namespace {

constexpr int most_candidates = 24, replays = 5;

struct Event {
  cudaEvent_t event = nullptr;
  Event() { cuda_check(cudaEventCreate(&event), "cudaEventCreate"); }
  ~Event() { cudaEventDestroy(event); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(Queue<Cuda>& queue) { cuda_check(cudaEventRecord(event, queue.stream), "cudaEventRecord"); }
};

/// Milliseconds of `work`, the least of a few replays of its recording: submitting takes longer than a small product.
template <class F>
float time_of(Queue<Cuda>& queue, const F& work) {
  work();  // what is loaded or allocated at first use
  CudaGraph graph;
  graph.record(queue, work);
  Event begin, end;
  float best = std::numeric_limits<float>::max();
  for (int i = 0; i < replays; i++) {
    begin.record(queue);
    graph.launch(queue);
    end.record(queue);
    queue.synchronize();
    float milliseconds = 0;
    cuda_check(cudaEventElapsedTime(&milliseconds, begin.event, end.event), "cudaEventElapsedTime");
    best = std::min(best, milliseconds);
  }
  return best;
}

/// What a line of the file is valid for: the device, the library and the shape.
std::string line_head(const Queue<Cuda>& queue, size_t version, const std::array<int64_t, 5>& shape, int64_t m) {
  std::string device = queue.properties.name;
  std::replace(device.begin(), device.end(), ' ', '_');
  std::ostringstream text;
  text << device << ' ' << version;
  for (const int64_t v : shape) text << ' ' << v;
  text << ' ' << m;
  return text.str();
}

constexpr size_t algorithm_words = sizeof(cublasLtMatmulAlgo_t::data) / sizeof(uint64_t);

/// Ends a line: the library is never shown an algorithm that a writer did not finish or somebody edited.
uint64_t check_word(const cublasLtMatmulAlgo_t& algorithm) {
  uint64_t sum = 0x9e3779b97f4a7c15;
  for (const uint64_t word : algorithm.data) sum = (sum ^ word) * 0x100000001b3;
  return sum;
}

/// The algorithm of the last line that begins with `head`.
bool read_finding(const std::string& file, const std::string& head, cublasLtMatmulAlgo_t& algorithm) {
  std::ifstream in(file);
  bool known = false;
  for (std::string line; in && line.size() < 4096 && std::getline(in, line);) {
    if (line.compare(0, head.size() + 1, head + ' ') != 0) continue;
    std::istringstream words(line.substr(head.size() + 1));
    cublasLtMatmulAlgo_t read{};
    for (size_t i = 0; i < algorithm_words; i++) words >> std::hex >> read.data[i];
    uint64_t check = 0;
    if (words >> std::hex >> check && check == check_word(read)) algorithm = read, known = true;
  }
  return known;
}

/// Appends a line in one write, so that processes do not mix theirs. A file that cannot be written costs a search the next time.
void write_finding(const std::string& file, const std::string& head, const cublasLtMatmulAlgo_t& algorithm) {
  std::ostringstream line;
  line << head << std::hex;
  for (size_t i = 0; i < algorithm_words; i++) line << ' ' << algorithm.data[i];
  line << ' ' << check_word(algorithm) << '\n';
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(file).parent_path(), ignored);
  std::ofstream(file, std::ios::app) << line.str() << std::flush;
}

/// x (m, k) with normal values: time on zeros is not time.
std::shared_ptr<void> some_activations(Queue<Cuda>& queue, DType dtype, int64_t count) {
  std::vector<std::byte> values(static_cast<size_t>(bytes_of(dtype, count)));
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < count; i++) {
    const float v = normal(rng);
    const F16 half(v);
    const BF16 brain(v);
    const void* from = dtype == DType::F32 ? static_cast<const void*>(&v) : dtype == DType::F16 ? static_cast<const void*>(&half) : &brain;
    std::memcpy(values.data() + bytes_of(dtype, i), from, static_cast<size_t>(info(dtype).bytes));
  }
  auto memory = queue.memory.allocate(static_cast<int64_t>(values.size()));
  cuda_check(cudaMemcpyAsync(memory.get(), values.data(), values.size(), cudaMemcpyHostToDevice, queue.stream), "copy to the device");
  queue.synchronize();
  return memory;
}

}  // namespace

std::string blas_findings_file() {
  const char *cache = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
  if (cache && *cache) return std::string(cache) + "/infernum/blas_findings";
  return home && *home ? std::string(home) + "/.cache/infernum/blas_findings" : "";
}

void BlasLt::search(Queue<Cuda>& queue, std::span<const View<Cuda>> w, DType x_type, DType y_type, std::span<const int64_t> rows,
                    const std::string& file) {
  check(!w.empty(), "blas: a search needs at least one matrix");
  check(takes(y_type, x_type, w.front().dtype), "blas: no product of these types", x_type, w.front().dtype, y_type);
  State& s = *state_;
  for (const int64_t m : rows) {
    const int64_t n = w.front().rows(), k = w.front().cols();
    const auto x_memory = some_activations(queue, x_type, m * k), y_memory = queue.memory.allocate(bytes_of(y_type, m * n));
    const View<Cuda> x{x_memory.get(), {m, k}, k, 2, x_type}, y{y_memory.get(), {m, n}, n, 2, y_type};
    const State::Shape shape = State::shape_of(y, x, w.front());
    const std::string head = line_head(queue, s.library.version(), shape, m);
    const auto plan = s.layouts(y, x, w.front());
    cublasLtMatmulAlgo_t best{};
    if (!file.empty() && read_finding(file, head, best) && s.fits(*plan, best)) {
      s.found[shape][m] = best;
      continue;
    }
    float least = std::numeric_limits<float>::max();
    for (const auto& algorithm : s.advice(*plan, y, x, w.front(), most_candidates)) {
      if (!s.fits(*plan, algorithm)) continue;
      const float time = time_of(queue, [&] {
        for (const View<Cuda>& matrix : w) s.run(*plan, algorithm, queue, y, x, matrix);
      });
      if (time < least) least = time, best = algorithm;
    }
    if (least == std::numeric_limits<float>::max()) continue;
    s.found[shape][m] = best;
    if (!file.empty()) write_finding(file, head, best);
  }
  s.plans.clear();  // those made before the search know nothing of it
}

}  // namespace infernum
