#include "backends/cuda/transfer.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "backends/cpu/thread_pool.h"
#include "backends/cuda/allocate.h"
#include "backends/cuda/error.h"
#include "backends/cuda_diagnosis.h"
#include "core/dispatch.h"

namespace infernum {
namespace {

/// Bytes of a pinned buffer: large enough that a copy runs at the bus's rate, small enough to begin early.
constexpr size_t chunk_bytes = size_t{8} << 20;
constexpr int upload_threads = 4;

/// A pinned buffer and the event that says when the device has read it.
struct Staging {
  void* memory = nullptr;
  cudaEvent_t read = nullptr;
  Staging() {
    cuda_check(cudaHostAlloc(&memory, chunk_bytes, cudaHostAllocDefault), "cudaHostAlloc", "cuda: no pinned memory to load weights with");
    cuda_check(cudaEventCreateWithFlags(&read, cudaEventDisableTiming), "cudaEventCreate");
  }
  ~Staging() {
    if (read) cudaEventDestroy(read);
    if (memory) cudaFreeHost(memory);
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
};

std::shared_ptr<void> copy_of(Queue<Cuda>& queue, const void* values, int64_t bytes) {
  auto memory = queue.memory.allocate(bytes);
  // Pageable memory is staged before the call returns, so `values` may go.
  if (bytes > 0)
    cuda_check(cudaMemcpyAsync(memory.get(), values, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, queue.stream),
               "copy to the device");
  return memory;
}

}  // namespace

std::vector<float> to_host(Queue<Cuda>& queue, const View<Cuda>& view) {
  std::vector<float> values(static_cast<size_t>(view.elements()));
  if (values.empty()) return values;
  const auto width = static_cast<size_t>(bytes_of(view.dtype, view.cols())), height = static_cast<size_t>(view.rows());
  void* raw = queue.pinned(static_cast<int64_t>(width * height));
  cuda_check(cudaMemcpy2DAsync(raw, width, view.data, static_cast<size_t>(bytes_of(view.dtype, view.stride)), width, height,
                               cudaMemcpyDeviceToHost, queue.stream),
             "copy from the device");
  queue.synchronize();
  const auto convert = [&]<class T>(Type<T>) {
    const T* in = static_cast<const T*>(raw);
    for (float& v : values) v = static_cast<float>(*in++);
  };
  if (view.dtype == DType::F32)
    std::memcpy(values.data(), raw, width * height);
  else if (view.dtype == DType::I32)
    convert(Type<int32_t>{});
  else
    dispatch_float(view.dtype, convert);
  return values;
}

Tensor<Cuda> from_host(Device<Cuda>& device, const Shape& shape, DType dtype, const std::vector<float>& values) {
  check(static_cast<int64_t>(values.size()) == shape.elements(), "from_host: as many values as elements", shape, values.size());
  return dispatch_float(dtype, [&]<class T>(Type<T>) {
    const std::vector<T> converted = [&] {
      std::vector<T> list;
      list.reserve(values.size());
      for (float v : values) list.push_back(static_cast<T>(v));
      return list;
    }();
    return Tensor<Cuda>(device, shape, dtype, copy_of(*device.queue, converted.data(), bytes_of(dtype, shape.elements())));
  });
}

Tensor<Cuda> from_host(Device<Cuda>& device, const Shape& shape, const std::vector<int32_t>& values) {
  check(static_cast<int64_t>(values.size()) == shape.elements(), "from_host: as many values as elements", shape, values.size());
  return {device, shape, DType::I32, copy_of(*device.queue, values.data(), bytes_of(DType::I32, shape.elements()))};
}

std::shared_ptr<void> allocate_lasting(Queue<Cuda>& queue, int64_t bytes) {
  queue.bind();
  return {allocate_on_device(bytes), [](void* p) { cudaFree(p); }};
}

int64_t memory_left(Queue<Cuda>& queue, double utilization) {
  queue.bind();
  size_t unused = 0, total = 0;
  cuda_check(cudaMemGetInfo(&unused, &total), "cudaMemGetInfo");
  return cuda_memory_left(queue.properties.name, static_cast<int64_t>(total), static_cast<int64_t>(unused), utilization);
}

std::shared_ptr<void> allocate_pinned(Queue<Cuda>& queue, int64_t bytes) {
  queue.bind();
  void* memory = nullptr;
  cuda_check(cudaHostAlloc(&memory, static_cast<size_t>(std::max<int64_t>(bytes, 1)), cudaHostAllocDefault), "cudaHostAlloc");
  return {memory, [](void* p) { cudaFreeHost(p); }};
}

void upload_pinned(Queue<Cuda>& queue, void* device_memory, const void* pinned, int64_t bytes) {
  cuda_check(cudaMemcpyAsync(device_memory, pinned, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, queue.stream),
             "copy to the device");
}

Tensor<Cuda> zeros(Device<Cuda>& device, const Shape& shape, DType dtype) {
  const int64_t bytes = bytes_of(dtype, shape.elements());
  auto memory = allocate_lasting(*device.queue, bytes);
  cuda_check(cudaMemsetAsync(memory.get(), 0, static_cast<size_t>(bytes), device.queue->stream), "cudaMemset");
  return {device, shape, dtype, std::move(memory)};
}

void upload(Queue<Cuda>& queue, void* device_memory, std::span<const std::byte> bytes) {
  queue.bind();
  const size_t chunks = (bytes.size() + chunk_bytes - 1) / chunk_bytes;
  const int threads = static_cast<int>(std::min<size_t>(upload_threads, chunks));
  if (threads == 0) return;
  if (bytes.size() <= chunk_bytes / 8) {  // not worth a pinned buffer
    cuda_check(cudaMemcpyAsync(device_memory, bytes.data(), bytes.size(), cudaMemcpyHostToDevice, queue.stream), "copy to the device");
    return queue.synchronize();
  }
  ThreadPool team(threads);
  std::atomic<size_t> next{0};
  team.run([&](int) {
    queue.bind();
    Staging buffers[2];
    for (size_t turn = 0, chunk; (chunk = next.fetch_add(1)) < chunks; turn++) {
      const Staging& buffer = buffers[turn % 2];
      const size_t first = chunk * chunk_bytes, n = std::min(chunk_bytes, bytes.size() - first);
      cuda_check(cudaEventSynchronize(buffer.read), "cudaEventSynchronize");
      std::memcpy(buffer.memory, bytes.data() + first, n);
      cuda_check(cudaMemcpyAsync(static_cast<std::byte*>(device_memory) + first, buffer.memory, n, cudaMemcpyHostToDevice, queue.stream),
                 "copy to the device");
      cuda_check(cudaEventRecord(buffer.read, queue.stream), "cudaEventRecord");
    }
    for (const Staging& buffer : buffers) cuda_check(cudaEventSynchronize(buffer.read), "cudaEventSynchronize");
  });
}

}  // namespace infernum
