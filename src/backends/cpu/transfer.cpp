#include "backends/cpu/transfer.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/device_error.h"
#include "core/dispatch.h"

namespace infernum {

std::vector<float> to_host(Queue<Cpu>&, const View<Cpu>& view) {
  std::vector<float> values(static_cast<size_t>(view.elements()));
  float* out = values.data();
  const auto copy = [&]<class T>(Type<T>) {
    for (int64_t r = 0; r < view.rows(); r++, out += view.cols())
      for (int64_t c = 0; c < view.cols(); c++) out[c] = static_cast<float>(view.row<const T>(r)[c]);
  };
  if (view.dtype == DType::I32)
    copy(Type<int32_t>{});
  else
    dispatch_float(view.dtype, copy);
  return values;
}

Tensor<Cpu> from_host(Device<Cpu>& device, const Shape& shape, DType dtype, const std::vector<float>& values) {
  check(static_cast<int64_t>(values.size()) == shape.elements(), "from_host: as many values as elements", shape, values.size());
  Tensor<Cpu> t(device, shape, dtype);
  dispatch_float(dtype, [&]<class T>(Type<T>) {
    T* out = t.view().as<T>();
    for (float v : values) *out++ = static_cast<T>(v);
  });
  return t;
}

Tensor<Cpu> from_host(Device<Cpu>& device, const Shape& shape, const std::vector<int32_t>& values) {
  check(static_cast<int64_t>(values.size()) == shape.elements(), "from_host: as many values as elements", shape, values.size());
  Tensor<Cpu> t(device, shape, DType::I32);
  if (!values.empty()) std::memcpy(t.view().data, values.data(), values.size() * sizeof(int32_t));
  return t;
}

Tensor<Cpu> zeros(Device<Cpu>& device, const Shape& shape, DType dtype) {
  const auto bytes = static_cast<size_t>(bytes_of(dtype, shape.elements()));
  std::shared_ptr<void> memory(std::calloc(std::max<size_t>(bytes, 1), 1), std::free);
  if (!memory) throw out_of_host_memory(static_cast<int64_t>(bytes));
  return {device, shape, dtype, std::move(memory)};
}

}  // namespace infernum
