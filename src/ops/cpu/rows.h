// for_rows(): runs an f32 row function over views of any float type, in parallel.
#pragma once
#include <array>
#include <tuple>
#include <vector>

#include "backends/cpu/queue.h"
#include "ops/cpu/row_ops.h"

namespace infernum {

/// A row of `view` as f32: in place if it is f32, else in `scratch`.
inline const float* read_row(const RowOps& ops, const View<Cpu>& view, int64_t r, std::vector<float>& scratch) {
  if (view.dtype == DType::F32) return view.row<const float>(r);
  scratch.resize(static_cast<size_t>(view.cols()));
  ops.to_f32(scratch.data(), view.row_bytes(r), view.dtype, view.cols());
  return scratch.data();
}

/// Where to write row r of `view` as f32; finish_row() stores it.
inline float* write_row(const View<Cpu>& view, int64_t r, std::vector<float>& scratch) {
  if (view.dtype == DType::F32) return view.row<float>(r);
  scratch.resize(static_cast<size_t>(view.cols()));
  return scratch.data();
}
inline void finish_row(const RowOps& ops, const View<Cpu>& view, int64_t r, const std::vector<float>& scratch) {
  if (view.dtype != DType::F32) ops.from_f32(view.row_bytes(r), view.dtype, scratch.data(), view.cols());
}

/// Rows per task, so that a task moves about 64 kB.
inline int64_t row_grain(const View<Cpu>& view) { return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, view.cols())); }

/// y.row = f(inputs' rows): f(float* y, const float* inputs...) is called once per row.
template <class F, class... In>
void for_rows(Queue<Cpu>& queue, const RowOps& ops, const View<Cpu>& y, const F& f, const In&... inputs) {
  queue.parallel_for(y.rows(), row_grain(y), [&](int64_t begin, int64_t end) {
    std::vector<float> out, in[sizeof...(In)];
    for (int64_t r = begin; r < end; r++) {
      size_t i = 0;
      float* target = write_row(y, r, out);
      // Braces fix the order in which the scratch rows are taken.
      const std::array<const float*, sizeof...(In)> rows{read_row(ops, inputs, r, in[i++])...};
      std::apply([&](const auto*... p) { f(target, p...); }, rows);
      finish_row(ops, y, r, out);
    }
  });
}

}  // namespace infernum
