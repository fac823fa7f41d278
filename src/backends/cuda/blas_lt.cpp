#include "backends/cuda/blas_lt.h"

#include <dlfcn.h>

#include <algorithm>
#include <bit>

#include "backends/cuda/blas_lt_state.h"
#include "backends/cuda/error.h"

namespace infernum {
namespace {

/// Shapes remembered; batches come in ever new sizes.
constexpr size_t most_plans = 4096;

constexpr const char* library_names[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"};

cudaDataType data_type(DType t) { return t == DType::F32 ? CUDA_R_32F : t == DType::F16 ? CUDA_R_16F : CUDA_R_16BF; }

/// The power of two, at most 256, that divides an address.
uint32_t alignment_of(const void* p) {
  const auto address = reinterpret_cast<uintptr_t>(p);
  return address == 0 ? 256 : std::min<uint32_t>(256, uint32_t{1} << std::min(std::countr_zero(address), 8));
}

std::string sizes(const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w) {
  return "m " + std::to_string(x.rows()) + " n " + std::to_string(y.cols()) + " k " + std::to_string(x.cols()) + " " + describe(x.dtype) +
         " * " + describe(w.dtype) + " -> " + describe(y.dtype);
}

}  // namespace

void* open_blas_library() {
  for (const char* name : library_names)
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  for (const char* name : library_names)  // where the toolkit's own packages put it, known to the linker or not
    if (void* library = dlopen((std::string("/usr/local/cuda/lib64/") + name).c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  fail("cuda: cuBLASLt was not found; install NVIDIA's libcublas 12 or 13, or put its folder into LD_LIBRARY_PATH", library_names[0],
       library_names[1]);
}

void* BlasLt::Library::symbol(const char* name) const {
  void* found = dlsym(handle, name);
  check(found != nullptr, "cuda: the library cuBLASLt lacks a function", name);
  return found;
}

BlasLt::State::Shape BlasLt::State::shape_of(const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w) {
  return {y.cols(), x.cols(), static_cast<int64_t>(y.dtype), static_cast<int64_t>(x.dtype), static_cast<int64_t>(w.dtype)};
}

/// cuBLAS counts columns first: what it computes is y^T (n, m) = w (n, k) * x^T (k, m), where w as it lies in memory is transposed.
std::unique_ptr<BlasLt::State::Plan> BlasLt::State::layouts(const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w) const {
  auto plan = std::make_unique<Plan>(library);
  const auto m = static_cast<uint64_t>(x.rows()), n = static_cast<uint64_t>(y.cols()), k = static_cast<uint64_t>(x.cols());
  const cublasOperation_t transposed = CUBLAS_OP_T;
  library.require(library.desc_create(&plan->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
  library.require(library.desc_set(plan->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed), "TRANSA");
  // A single row may have any stride, yet cuBLASLt wants one no shorter than the row.
  library.require(library.layout_create(&plan->w, data_type(w.dtype), k, n, std::max(w.stride, w.cols())), "cublasLtMatrixLayoutCreate");
  library.require(library.layout_create(&plan->x, data_type(x.dtype), k, m, std::max(x.stride, x.cols())), "cublasLtMatrixLayoutCreate");
  library.require(library.layout_create(&plan->y, data_type(y.dtype), n, m, std::max(y.stride, y.cols())), "cublasLtMatrixLayoutCreate");
  return plan;
}

const BlasLt::State::Plan& BlasLt::State::plan(const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w) {
  const Key key{x.rows(), y.cols(), x.cols(), static_cast<int64_t>(y.dtype), static_cast<int64_t>(x.dtype), static_cast<int64_t>(w.dtype),
                y.stride, x.stride, w.stride, alignment_of(y.data),          alignment_of(x.data),          alignment_of(w.data)};
  if (const auto known = plans.find(key); known != plans.end()) return *known->second;
  auto plan = layouts(y, x, w);
  // What was found holds for memory as aligned as the pool's.
  const bool aligned = std::min({alignment_of(y.data), alignment_of(x.data), alignment_of(w.data)}) >= 16;
  if (const auto shape = found.find(shape_of(y, x, w)); shape != found.end() && aligned)
    if (const auto next = shape->second.lower_bound(x.rows()); next != shape->second.end() && fits(*plan, next->second))
      plan->algorithm = next->second, plan->possible = true;
  if (!plan->possible)
    for (const auto& algorithm : advice(*plan, y, x, w, 1)) plan->algorithm = algorithm, plan->possible = true;
  if (plans.size() >= most_plans) plans.clear();
  return *(plans[key] = std::move(plan));
}

bool BlasLt::State::fits(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm) const {
  cublasLtMatmulHeuristicResult_t result{};
  return library.algorithm_check(handle, plan.desc, plan.w, plan.x, plan.y, plan.y, &algorithm, &result) == CUBLAS_STATUS_SUCCESS &&
         result.state == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= static_cast<size_t>(blas_workspace_bytes);
}

std::vector<cublasLtMatmulAlgo_t> BlasLt::State::advice(const Plan& plan, const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w,
                                                        int most) const {
  cublasLtMatmulPreference_t created = nullptr;
  library.require(library.preference_create(&created), "cublasLtMatmulPreferenceCreate");
  const std::unique_ptr<std::remove_pointer_t<cublasLtMatmulPreference_t>, decltype(library.preference_destroy)> preference(
      created, library.preference_destroy);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    library.require(library.preference_set(created, attribute, &value, sizeof value), "cublasLtMatmulPreferenceSetAttribute");
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(blas_workspace_bytes));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(w.data));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(x.data));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(y.data));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(y.data));
  std::vector<cublasLtMatmulHeuristicResult_t> results(static_cast<size_t>(most));
  int count = 0;
  const cublasStatus_t status = library.heuristic(handle, plan.desc, plan.w, plan.x, plan.y, plan.y, created, most, results.data(), &count);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return {};
  library.require(status, "cublasLtMatmulAlgoGetHeuristic", sizes(y, x, w));
  std::vector<cublasLtMatmulAlgo_t> algorithms;
  for (int i = 0; i < count; i++)
    if (results[static_cast<size_t>(i)].state == CUBLAS_STATUS_SUCCESS) algorithms.push_back(results[static_cast<size_t>(i)].algo);
  return algorithms;
}

void BlasLt::State::run(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm, Queue<Cuda>& queue, const View<Cuda>& y,
                        const View<Cuda>& x, const View<Cuda>& w) {
  if (!workspace) workspace = queue.memory.allocate(blas_workspace_bytes);
  const float one = 1, zero = 0;
  library.require(library.matmul(handle, plan.desc, &one, w.data, plan.w, x.data, plan.x, &zero, y.data, plan.y, y.data, plan.y, &algorithm,
                                 workspace.get(), static_cast<size_t>(blas_workspace_bytes), reinterpret_cast<cudaStream_t>(queue.stream)),
                  "cublasLtMatmul", sizes(y, x, w));
}

BlasLt::BlasLt() : state_(std::make_unique<State>()) {}
BlasLt::~BlasLt() = default;

bool BlasLt::multiply(Queue<Cuda>& queue, const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w) {
  const State::Plan& plan = state_->plan(y, x, w);
  if (!plan.possible) return false;
  state_->run(plan, plan.algorithm, queue, y, x, w);
  return true;
}

}  // namespace infernum
