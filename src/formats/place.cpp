#include "formats/place.h"

#include <sys/mman.h>

#include <cstdlib>

#include "core/mapped_file.h"
#include "ops/cpu/pack.h"
#include "quant/quant.h"

namespace infernum {
namespace {

Tensor<Trace> trace_weight(Device<Trace>& device, const StoredTensor& t, DType dtype) {
  auto& queue = *device.queue;
  queue.kind = TraceValue::Kind::Weight;
  queue.next_name = t.name;
  Tensor<Trace> placed(device, t.shape, dtype);
  queue.kind = TraceValue::Kind::Activation;
  queue.next_name.clear();
  return placed;
}

void check_convertible(const StoredTensor& t) {
  check(is_float(t.dtype) || is_gguf_block(t.dtype), "weights: no conversion from this dtype to F32", t.name, t.dtype);
}

/// Anonymous memory in huge pages where the system has them: fewer page faults while packing, fewer TLB misses afterwards.
std::shared_ptr<void> packed_memory(int64_t bytes) {
  constexpr size_t huge_page = size_t{2} << 20;
  const size_t size = (static_cast<size_t>(bytes) + 63) / 64 * 64, alignment = size >= huge_page ? huge_page : 64;
  void* memory = nullptr;
  check(posix_memalign(&memory, alignment, std::max<size_t>(size, 64)) == 0, "weights: not enough memory for a packed matrix", bytes);
  if (alignment == huge_page) madvise(memory, size, MADV_HUGEPAGE);
  return {memory, std::free};
}

/// Matrices of one shape in a packed form of their type, all in one piece of memory.
std::vector<Tensor<Cpu>> pack(Device<Cpu>& device, std::span<const StoredTensor> list) {
  const Shape shape = list.front().shape;
  const DType packed = *packed_type(list.front().dtype);
  const int64_t bytes = packed_bytes(packed, shape[0], shape[1]);
  const std::shared_ptr<void> memory = packed_memory(static_cast<int64_t>(list.size()) * bytes);
  auto* out = static_cast<std::byte*>(memory.get());
  std::vector<Tensor<Cpu>> placed;
  for (const StoredTensor& t : list) {
    check(t.data != nullptr, "weights: only the header of this tensor was read", t.name);
    check(t.shape == shape && t.dtype == list.front().dtype, "weights: matrices of one shape and type", t.name, t.shape, t.dtype);
    pack_rows(*device.queue, t.dtype, t.data, shape[0], shape[1], out);
    if (t.file) t.file->advise(t.span(), PageAdvice::DontNeed);  // the packed copy takes the place of the file's pages
    placed.emplace_back(device, shape, packed, std::shared_ptr<void>(memory, out));
    out += bytes;
  }
  return placed;
}

}  // namespace

Tensor<Cpu> place(Device<Cpu>& device, const StoredTensor& t) {
  check(t.data != nullptr || t.bytes == 0, "weights: only the header of this tensor was read", t.name);
  // Safetensors files of old writers hold numbers at odd addresses; blocks are made of bytes and may lie anywhere.
  const StoredTensor a = info(t.dtype).block == 1 ? aligned(t, static_cast<size_t>(info(t.dtype).bytes)) : t;
  // Kernels never write to weights; View has one pointer type for inputs and outputs.
  return {device, a.shape, a.dtype, std::shared_ptr<void>(std::const_pointer_cast<void>(a.owner), const_cast<std::byte*>(a.data))};
}
Tensor<Trace> place(Device<Trace>& device, const StoredTensor& t) { return trace_weight(device, t, t.dtype); }

Tensor<Cpu> place_blocks(Device<Cpu>& device, const StoredTensor& t) {
  return packed_type(t.dtype) ? pack(device, {&t, 1}).front() : place(device, t);
}
Tensor<Trace> place_blocks(Device<Trace>& device, const StoredTensor& t) { return trace_weight(device, t, t.dtype); }

Matrices<Cpu> place(Device<Cpu>& device, const std::vector<StoredTensor>& list) {
  std::vector<Tensor<Cpu>> placed;
  for (const StoredTensor& t : list) placed.push_back(place(device, t));
  return Matrices<Cpu>(std::move(placed));
}
Matrices<Cpu> place_blocks(Device<Cpu>& device, const std::vector<StoredTensor>& list) {
  return packed_type(list.front().dtype) ? Matrices<Cpu>(pack(device, list)) : place(device, list);
}
Matrices<Trace> place(Device<Trace>& device, const std::vector<StoredTensor>& list) {
  StoredTensor stack = list.front();
  stack.shape = stack.shape.prepended(static_cast<int64_t>(list.size()));
  const Tensor<Trace> whole = trace_weight(device, stack, stack.dtype);
  auto* address = static_cast<std::byte*>(whole.storage().get());
  std::vector<Tensor<Trace>> placed;
  for (size_t e = 0; e < list.size(); e++) {
    const int64_t offset = bytes_of(stack.dtype, static_cast<int64_t>(e) * list.front().shape.elements());
    placed.emplace_back(device, list.front().shape, stack.dtype, std::shared_ptr<void>(whole.storage(), address + offset));
  }
  return Matrices<Trace>(std::move(placed));
}
Matrices<Trace> place_blocks(Device<Trace>& device, const std::vector<StoredTensor>& list) { return place(device, list); }

Tensor<Cpu> place_f32(Device<Cpu>& device, const StoredTensor& t, float offset) {
  check(t.data != nullptr, "weights: only the header of this tensor was read", t.name);
  check_convertible(t);
  Tensor<Cpu> placed(device, t.shape, DType::F32);
  float* values = placed.view().as<float>();
  dequantize(t.dtype, t.data, values, t.shape.elements());
  if (offset != 0)
    for (int64_t i = 0; i < t.shape.elements(); i++) values[i] += offset;
  return placed;
}
Tensor<Trace> place_f32(Device<Trace>& device, const StoredTensor& t, float) {
  check_convertible(t);
  return trace_weight(device, t, DType::F32);
}

}  // namespace infernum
