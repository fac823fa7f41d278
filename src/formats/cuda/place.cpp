// Weights on their way to a CUDA device: copied as the checkpoint stores them, blocks too; the kernels read GGUF's own layout. The matrices
// of a list lie in one allocation, each a fixed number of bytes behind the one before, so that a kernel finds matrix e at base + e * step.
#include <span>

#include "backends/cuda/transfer.h"
#include "core/mapped_file.h"
#include "formats/place.h"
#include "quant/quant.h"

namespace infernum {
namespace {

/// Matrices of a list begin at multiples of this, so that wide loads are aligned in each of them.
constexpr int64_t matrix_alignment = 256;

/// Behind the last byte: kernels read whole aligned 16-byte pieces.
constexpr int64_t slack = 16;

/// Tensors of one shape and type in one allocation, a fixed step apart.
std::vector<Tensor<Cuda>> upload_all(Device<Cuda>& device, std::span<const StoredTensor> list) {
  const StoredTensor& first = list.front();
  const int64_t bytes = bytes_of(first.dtype, first.shape.elements());
  const int64_t step = (bytes + matrix_alignment - 1) / matrix_alignment * matrix_alignment;
  const auto memory = allocate_lasting(*device.queue, static_cast<int64_t>(list.size()) * step + slack);
  auto* at = static_cast<std::byte*>(memory.get());
  std::vector<Tensor<Cuda>> placed;
  for (const StoredTensor& t : list) {
    check(t.data != nullptr || t.bytes == 0, "weights: only the header of this tensor was read", t.name);
    check(t.shape == first.shape && t.dtype == first.dtype, "weights: matrices of one shape and type", t.name, t.shape, t.dtype);
    check(t.bytes == bytes, "weights: a tensor has the bytes of its shape and type", t.name, t.shape, t.dtype, t.bytes);
    upload(*device.queue, at, t.span());
    if (t.file) t.file->advise(t.span(), PageAdvice::DontNeed);  // the device's copy takes the place of the file's pages
    placed.emplace_back(device, t.shape, t.dtype, std::shared_ptr<void>(memory, at));
    at += step;
  }
  return placed;
}

}  // namespace

Tensor<Cuda> place(Device<Cuda>& device, const StoredTensor& t) {
  PlacedWeights& placed = device.queue->placed;
  if (auto memory = placed.find(t.data, t.bytes, t.owner)) return {device, t.shape, t.dtype, std::move(memory)};
  Tensor<Cuda> fresh = upload_all(device, {&t, 1}).front();
  placed.remember(t.data, t.bytes, t.owner, fresh.storage());
  return fresh;
}
Tensor<Cuda> place_blocks(Device<Cuda>& device, const StoredTensor& t) { return place(device, t); }

Matrices<Cuda> place(Device<Cuda>& device, const std::vector<StoredTensor>& list) {
  check(!list.empty(), "weights: at least one matrix");
  return Matrices<Cuda>(upload_all(device, list));
}
Matrices<Cuda> place_blocks(Device<Cuda>& device, const std::vector<StoredTensor>& list) { return place(device, list); }

Tensor<Cuda> place_f32(Device<Cuda>& device, const StoredTensor& t, float offset) {
  check(t.data != nullptr, "weights: only the header of this tensor was read", t.name);
  check(is_float(t.dtype) || is_gguf_block(t.dtype), "weights: no conversion from this dtype to F32", t.name, t.dtype);
  std::vector<float> values(static_cast<size_t>(t.shape.elements()));
  dequantize(t.dtype, t.data, values.data(), t.shape.elements());
  if (offset != 0)
    for (float& v : values) v += offset;
  const auto bytes = std::as_bytes(std::span<const float>(values));
  auto memory = allocate_lasting(*device.queue, static_cast<int64_t>(bytes.size()) + slack);
  upload(*device.queue, memory.get(), bytes);
  return {device, t.shape, DType::F32, std::move(memory)};
}

}  // namespace infernum
