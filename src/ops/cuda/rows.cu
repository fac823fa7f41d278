// TakeRows, SliceHeads, ConcatHeads and HeadIds: what is wanted is read and written once. Rows were checked against x by the caller of the
// model.
#include "ops/cuda/map_rows.cuh"
#include "ops/kernels.h"

namespace infernum {
namespace {

/// A row as runs of `size` units, one per head, `head` units apart; rows `row` units apart, in the order of `index` if there is one.
template <class U>
struct Runs {
  const U* data;
  int64_t row, head;
  const int32_t* index;
  __device__ U at(int64_t r, unsigned h, unsigned i) const { return data[(index ? index[r] : r) * row + h * head + i]; }
};

/// Every head of y: `first` units of a, then `second` of b. Floor: bytes of y, twice. A thread per unit of a row.
template <class U>
__global__ void join_heads_kernel(U* y, int64_t y_row, Runs<U> a, Runs<U> b, int64_t n_rows, unsigned heads, unsigned first,
                                  unsigned second) {
  const auto j = static_cast<unsigned>(cuda::first_unit());
  const unsigned h = j / (first + second), i = j % (first + second);
  if (h >= heads) return;
  for (int64_t r = cuda::first_row(); r < n_rows; r += cuda::row_step())
    y[r * y_row + j] = i < first ? a.at(r, h, i) : b.at(r, h, i - first);
}

/// A side of join_heads(), in bytes.
struct Source {
  const char* data;
  int64_t row, head, size;
  const int32_t* index = nullptr;
};

template <class U>
void join_heads_by(Queue<Cuda>& q, std::string_view op, const View<Cuda>& y, const Source& a, const Source& b, int64_t heads) {
  constexpr int64_t unit = sizeof(U);
  const auto runs = [](const Source& s) { return Runs<U>{reinterpret_cast<const U*>(s.data), s.row / unit, s.head / unit, s.index}; };
  const int64_t units = heads * (a.size + b.size) / unit;
  check(units < int64_t{1} << 31, "gather: a row too long", op, units);
  launch(q, op, join_heads_kernel<U>, cuda::row_grid(y.rows(), units), {&y}, static_cast<U*>(y.data), bytes_of(y.dtype, y.stride) / unit,
         runs(a), runs(b), y.rows(), heads, a.size / unit, b.size / unit);
}

/// Moves the widest units that everything is a multiple of.
void join_heads(Queue<Cuda>& q, std::string_view op, const View<Cuda>& y, const Source& a, const Source& b, int64_t heads) {
  uint64_t all = reinterpret_cast<uintptr_t>(y.data) | static_cast<uint64_t>(bytes_of(y.dtype, y.stride));
  for (const Source& s : {a, b}) all |= reinterpret_cast<uintptr_t>(s.data) | static_cast<uint64_t>(s.row | s.head | s.size);
  if (all % 16 == 0) return join_heads_by<uint4>(q, op, y, a, b, heads);
  if (all % 4 == 0) return join_heads_by<uint32_t>(q, op, y, a, b, heads);
  if (all % 2 == 0) return join_heads_by<uint16_t>(q, op, y, a, b, heads);
  join_heads_by<uint8_t>(q, op, y, a, b, heads);
}

Source heads_of(const View<Cuda>& x, int64_t heads) {
  const int64_t head = bytes_of(x.dtype, x.cols() / heads);
  return {static_cast<const char*>(x.data), bytes_of(x.dtype, x.stride), head, head};
}

__global__ void head_ids_kernel(cuda::Rows<int32_t> ids, int64_t n_rows, int64_t n) {
  const int64_t i = cuda::first_unit();
  if (i >= n) return;
  for (int64_t t = cuda::first_row(); t < n_rows; t += cuda::row_step()) ids[t][i] = static_cast<int32_t>(i);
}

}  // namespace

void kernel(TakeRows, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x, View<Cuda> rows) {
  Source all = heads_of(x, 1);
  all.index = rows.as<const int32_t>();
  join_heads(q, TakeRows::name, y, all, {}, 1);
}

void kernel(SliceHeads, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x, int64_t heads, int64_t offset) {
  Source part = heads_of(x, heads);
  part.data += bytes_of(x.dtype, offset);
  part.size = bytes_of(y.dtype, y.cols() / heads);
  join_heads(q, SliceHeads::name, y, part, {}, heads);
}

void kernel(ConcatHeads, Queue<Cuda>& q, View<Cuda> y, View<Cuda> a, View<Cuda> b, int64_t heads) {
  join_heads(q, ConcatHeads::name, y, heads_of(a, heads), heads_of(b, heads), heads);
}

void kernel(HeadIds, Queue<Cuda>& q, View<Cuda> ids) {
  launch(q, HeadIds::name, head_ids_kernel, cuda::row_grid(ids.rows(), ids.cols()), {&ids}, cuda::rows<int32_t>(ids), ids.rows(),
         ids.cols());
}

}  // namespace infernum
