#include "formats/place.h"

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

}  // namespace

Tensor<Cpu> place(Device<Cpu>& device, const StoredTensor& t) {
  check(t.data != nullptr || t.bytes == 0, "weights: only the header of this tensor was read", t.name);
  // Kernels never write to weights; View has one pointer type for inputs and outputs.
  return {device, t.shape, t.dtype, std::shared_ptr<void>(std::const_pointer_cast<void>(t.owner), const_cast<std::byte*>(t.data))};
}
Tensor<Trace> place(Device<Trace>& device, const StoredTensor& t) { return trace_weight(device, t, t.dtype); }

Tensor<Cpu> place_blocks(Device<Cpu>& device, const StoredTensor& t) { return place(device, t); }
Tensor<Trace> place_blocks(Device<Trace>& device, const StoredTensor& t) { return trace_weight(device, t, t.dtype); }

Tensor<Cpu> place_f32(Device<Cpu>& device, const StoredTensor& t) {
  check(t.data != nullptr, "weights: only the header of this tensor was read", t.name);
  Tensor<Cpu> placed(device, t.shape, DType::F32);
  dequantize(t.dtype, t.data, placed.view().as<float>(), t.shape.elements());
  return placed;
}
Tensor<Trace> place_f32(Device<Trace>& device, const StoredTensor& t) { return trace_weight(device, t, DType::F32); }

}  // namespace infernum
