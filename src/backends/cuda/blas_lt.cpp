#include "backends/cuda/blas_lt.h"

#include <cublasLt.h>
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <vector>

#include "backends/cuda/error.h"
#include "backends/cuda/queue.h"

namespace infernum {
namespace {

/// Enough for split-K on Hopper, as NVIDIA advises.
constexpr int64_t workspace_bytes = int64_t{32} << 20;

/// Shapes remembered; batches come in ever new sizes.
constexpr size_t most_plans = 4096;

constexpr const char* library_names[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"};

void* open_library() {
  for (const char* name : library_names)
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  for (const char* name : library_names)  // where the toolkit's own packages put it, known to the linker or not
    if (void* library = dlopen((std::string("/usr/local/cuda/lib64/") + name).c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  fail("cuda: cuBLASLt was not found; install NVIDIA's libcublas 12 or 13, or put its folder into LD_LIBRARY_PATH", library_names[0],
       library_names[1]);
}

cudaDataType data_type(DType t) { return t == DType::F32 ? CUDA_R_32F : t == DType::F16 ? CUDA_R_16F : CUDA_R_16BF; }

/// The power of two, at most 256, that divides an address.
uint32_t alignment_of(const void* p) {
  const auto address = reinterpret_cast<uintptr_t>(p);
  return address == 0 ? 256 : std::min<uint32_t>(256, uint32_t{1} << std::min(std::countr_zero(address), 8));
}

}  // namespace

/// The functions in use. Never closed: CUDA's libraries do not survive that.
struct BlasLt::Library {
  void* handle = open_library();
  template <class F>
  F* find(const char* name) const {
    void* symbol = dlsym(handle, name);
    check(symbol != nullptr, "cuda: the library cuBLASLt lacks a function", name);
    return reinterpret_cast<F*>(symbol);
  }
  decltype(&cublasLtCreate) create = find<decltype(cublasLtCreate)>("cublasLtCreate");
  decltype(&cublasLtDestroy) destroy = find<decltype(cublasLtDestroy)>("cublasLtDestroy");
  decltype(&cublasLtGetStatusString) status_string = find<decltype(cublasLtGetStatusString)>("cublasLtGetStatusString");
  decltype(&cublasLtMatmul) matmul = find<decltype(cublasLtMatmul)>("cublasLtMatmul");
  decltype(&cublasLtMatmulDescCreate) desc_create = find<decltype(cublasLtMatmulDescCreate)>("cublasLtMatmulDescCreate");
  decltype(&cublasLtMatmulDescDestroy) desc_destroy = find<decltype(cublasLtMatmulDescDestroy)>("cublasLtMatmulDescDestroy");
  decltype(&cublasLtMatmulDescSetAttribute) desc_set = find<decltype(cublasLtMatmulDescSetAttribute)>("cublasLtMatmulDescSetAttribute");
  decltype(&cublasLtMatrixLayoutCreate) layout_create = find<decltype(cublasLtMatrixLayoutCreate)>("cublasLtMatrixLayoutCreate");
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy = find<decltype(cublasLtMatrixLayoutDestroy)>("cublasLtMatrixLayoutDestroy");
  decltype(&cublasLtMatmulPreferenceCreate) preference_create =
      find<decltype(cublasLtMatmulPreferenceCreate)>("cublasLtMatmulPreferenceCreate");
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy =
      find<decltype(cublasLtMatmulPreferenceDestroy)>("cublasLtMatmulPreferenceDestroy");
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set =
      find<decltype(cublasLtMatmulPreferenceSetAttribute)>("cublasLtMatmulPreferenceSetAttribute");
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = find<decltype(cublasLtMatmulAlgoGetHeuristic)>("cublasLtMatmulAlgoGetHeuristic");

  void require(cublasStatus_t status, const char* call, const std::string& about = {}) const {
    check(status == CUBLAS_STATUS_SUCCESS, "cuda: cuBLASLt failed", call, status_string(status), about);
  }
};

struct BlasLt::State {
  /// m, n, k, the three types, leading dimensions and alignments.
  using Key = std::array<int64_t, 12>;

  /// How a product of one key is asked for.
  struct Plan {
    const Library& library;
    cublasLtMatmulDesc_t desc = nullptr;
    cublasLtMatrixLayout_t w = nullptr, x = nullptr, y = nullptr;
    cublasLtMatmulAlgo_t algorithm{};
    bool possible = false;  ///< there is an algorithm
    explicit Plan(const Library& l) : library(l) {}
    ~Plan() {
      if (y) library.layout_destroy(y);
      if (x) library.layout_destroy(x);
      if (w) library.layout_destroy(w);
      if (desc) library.desc_destroy(desc);
    }
    Plan(const Plan&) = delete;
    Plan& operator=(const Plan&) = delete;
  };

  Library library;
  cublasLtHandle_t handle = nullptr;
  std::shared_ptr<void> workspace;
  std::map<Key, std::unique_ptr<Plan>> plans;

  State() { library.require(library.create(&handle), "cublasLtCreate"); }
  ~State() {
    plans.clear();
    library.destroy(handle);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  const Plan& plan(const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w);
  void choose(Plan& plan, const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w) const;
};

namespace {

std::string sizes(const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w) {
  return "m " + std::to_string(x.rows()) + " n " + std::to_string(y.cols()) + " k " + std::to_string(x.cols()) + " " + describe(x.dtype) +
         " * " + describe(w.dtype) + " -> " + describe(y.dtype);
}

}  // namespace

/// cuBLAS counts columns first: what it computes is y^T (n, m) = w (n, k) * x^T (k, m), where w as it lies in memory is transposed.
const BlasLt::State::Plan& BlasLt::State::plan(const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w) {
  const Key key{x.rows(), y.cols(), x.cols(), static_cast<int64_t>(y.dtype), static_cast<int64_t>(x.dtype), static_cast<int64_t>(w.dtype),
                y.stride, x.stride, w.stride, alignment_of(y.data),          alignment_of(x.data),          alignment_of(w.data)};
  if (const auto found = plans.find(key); found != plans.end()) return *found->second;
  auto plan = std::make_unique<Plan>(library);
  const auto m = static_cast<uint64_t>(x.rows()), n = static_cast<uint64_t>(y.cols()), k = static_cast<uint64_t>(x.cols());
  const cublasOperation_t transposed = CUBLAS_OP_T;
  library.require(library.desc_create(&plan->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
  library.require(library.desc_set(plan->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed), "TRANSA");
  // A single row may have any stride, yet cuBLASLt wants one no shorter than the row.
  library.require(library.layout_create(&plan->w, data_type(w.dtype), k, n, std::max(w.stride, w.cols())), "cublasLtMatrixLayoutCreate");
  library.require(library.layout_create(&plan->x, data_type(x.dtype), k, m, std::max(x.stride, x.cols())), "cublasLtMatrixLayoutCreate");
  library.require(library.layout_create(&plan->y, data_type(y.dtype), n, m, std::max(y.stride, y.cols())), "cublasLtMatrixLayoutCreate");
  choose(*plan, y, x, w);
  if (plans.size() >= most_plans) plans.clear();
  return *(plans[key] = std::move(plan));
}

void BlasLt::State::choose(Plan& plan, const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w) const {
  cublasLtMatmulPreference_t created = nullptr;
  library.require(library.preference_create(&created), "cublasLtMatmulPreferenceCreate");
  const std::unique_ptr<std::remove_pointer_t<cublasLtMatmulPreference_t>, decltype(library.preference_destroy)> preference(
      created, library.preference_destroy);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    library.require(library.preference_set(created, attribute, &value, sizeof value), "cublasLtMatmulPreferenceSetAttribute");
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(workspace_bytes));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(w.data));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(x.data));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(y.data));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(y.data));
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  const cublasStatus_t status = library.heuristic(handle, plan.desc, plan.w, plan.x, plan.y, plan.y, created, 1, &best, &found);
  if (status != CUBLAS_STATUS_NOT_SUPPORTED) library.require(status, "cublasLtMatmulAlgoGetHeuristic", sizes(y, x, w));
  plan.possible = status == CUBLAS_STATUS_SUCCESS && found > 0 && best.state == CUBLAS_STATUS_SUCCESS;
  plan.algorithm = best.algo;
}

BlasLt::BlasLt() : state_(std::make_unique<State>()) {}
BlasLt::~BlasLt() = default;

bool BlasLt::multiply(Queue<Cuda>& queue, const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w) {
  State& s = *state_;
  if (!s.workspace) s.workspace = queue.memory.allocate(workspace_bytes);
  const State::Plan& plan = s.plan(y, x, w);
  if (!plan.possible) return false;
  const float one = 1, zero = 0;
  s.library.require(
      s.library.matmul(s.handle, plan.desc, &one, w.data, plan.w, x.data, plan.x, &zero, y.data, plan.y, y.data, plan.y, &plan.algorithm,
                       s.workspace.get(), static_cast<size_t>(workspace_bytes), reinterpret_cast<cudaStream_t>(queue.stream)),
      "cublasLtMatmul", sizes(y, x, w));
  return true;
}

}  // namespace infernum
