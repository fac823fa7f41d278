// What BlasLt is made of: the functions of the library, and a plan for every product asked for.
#pragma once
#include <cublasLt.h>

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backends/cuda/blas_lt.h"
#include "backends/cuda/queue.h"

namespace infernum {

/// Enough for split-K on Hopper, as NVIDIA advises.
inline constexpr int64_t blas_workspace_bytes = int64_t{32} << 20;

/// A loaded cuBLASLt, closed by nobody: CUDA's libraries do not survive that.
void* open_blas_library();

/// The functions in use.
struct BlasLt::Library {
  void* handle = open_blas_library();
  void* symbol(const char* name) const;
  template <class F>
  F* find(const char* name) const {
    return reinterpret_cast<F*>(symbol(name));
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
  decltype(&cublasLtMatmulAlgoCheck) algorithm_check = find<decltype(cublasLtMatmulAlgoCheck)>("cublasLtMatmulAlgoCheck");
  decltype(&cublasLtGetVersion) version = find<decltype(cublasLtGetVersion)>("cublasLtGetVersion");
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = find<decltype(cublasLtMatmulAlgoGetHeuristic)>("cublasLtMatmulAlgoGetHeuristic");

  void require(cublasStatus_t status, const char* call, const std::string& about = {}) const {
    check(status == CUBLAS_STATUS_SUCCESS, "cuda: cuBLASLt failed", call, status_string(status), about);
  }
};

struct BlasLt::State {
  /// m, n, k, the three types, leading dimensions and alignments.
  using Key = std::array<int64_t, 12>;

  /// What a search found for products of one n, k and three types (as in Key), by m.
  using Shape = std::array<int64_t, 5>;
  using Found = std::map<Shape, std::map<int64_t, cublasLtMatmulAlgo_t>>;

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
  Found found;

  State() { library.require(library.create(&handle), "cublasLtCreate"); }
  ~State() {
    plans.clear();
    library.destroy(handle);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  const Plan& plan(const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w);
  std::unique_ptr<Plan> layouts(const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w) const;
  /// The library's advice, best first; at most `most`.
  std::vector<cublasLtMatmulAlgo_t> advice(const Plan& plan, const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w, int most) const;
  /// Whether an algorithm, perhaps found for other sizes, does what the plan asks.
  bool fits(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm) const;
  /// Submits a product.
  void run(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm, Queue<Cuda>& queue, const View<Cuda>& y, const View<Cuda>& x,
           const View<Cuda>& w);
  static Shape shape_of(const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w);
};

}  // namespace infernum
