#include "floor.h"

#include <algorithm>

#include "backends/cpu/peaks.h"
#include "backends/cuda/bandwidth.h"
#include "backends/cuda/timed_work.h"
#include "core/build.h"
#include "models/op_replay.h"
#include "models/open_queue.h"
#include "ops/kernels.h"

namespace infernum::app {
namespace {

/// Operations per second of a product of matrices (n, n) of this type, best of several.
template <class B>
double product_rate(Device<B>& device, DType type) {
  constexpr int64_t n = 4096;
  const std::vector<float> values = SyntheticOperands().numbers(n * n);
  const Tensor<B> x = from_host(device, {n, n}, type, values), w = from_host(device, {n, n}, type, values), y = empty_like(x);
  TimedWork<B> work(*device.queue, [&] { kernel(MatMul{}, *device.queue, y.view(), x.view(), w.view()); });
  double best = work.seconds();
  for (int i = 0; i < 8; i++) best = std::min(best, work.seconds());
  return 2. * n * n * n / best;
}

template <class B>
Rates measure_rates(Queue<B>& queue) {
  Device<B> device;
  device.queue = &queue;
  const double bf16 = product_rate(device, DType::BF16);
  return {product_rate(device, DType::F32), bf16, bf16};  // blocks are multiplied as 16-bit floats
}

double rate_of(const TraceGraph& graph, const TraceNode& node, const Processor& p) {
  const bool product = node.op == "matmul" || node.op == "block_matmul" || node.op == "expert_matmul";
  const auto dtype = [&](const TraceArgument& a) { return graph.values[static_cast<size_t>(a.value)].dtype; };
  for (const TraceArgument& a : node.arguments) {
    if (a.value < 0) continue;
    const DType t = dtype(a);
    const bool weight = graph.values[static_cast<size_t>(a.value)].kind == TraceValue::Kind::Weight;
    if (product && weight && !is_float(t)) return p.rates.int8;
    if (p.cuda && (product ? weight : true) && (t == DType::BF16 || t == DType::F16)) return p.rates.bf16;
    if (!p.cuda && product && weight && t == DType::BF16 && p.dtype == DType::BF16) return p.rates.bf16;
    if (!p.cuda && node.op == "latent_attention" && t == DType::BF16) return p.rates.bf16;
  }
  return p.rates.f32;
}

}  // namespace

Floor floor_of(const TraceGraph& graph, const TraceNode& node, const Processor& p) {
  const double rate = rate_of(graph, node, p);
  const double moving = node.cost.bytes / p.bandwidth, computing = rate > 0 ? node.cost.flops / rate : 0;
  return {std::max(moving, computing), moving >= computing};
}

Processor measure_processor(const ModelOptions& options) {
  ModelOptions alone = options;
  alone.ranks = 1;
  if constexpr (has_cuda)
    if (options.place.cuda) {
      const auto queue = open_queue<Cuda>(alone, 0);
      return {queue->properties.name, 0, true, options.dtype, read_bandwidth(*queue), measure_rates(*queue)};
    }
  const auto queue = open_queue<Cpu>(alone, 0);
  const MachinePeaks peaks = measure_peaks(*queue);
  return {std::to_string(queue->pool.size()) + " threads, " + describe(queue->isa),
          queue->pool.size(),
          false,
          options.dtype,
          peaks.read_bandwidth * 1e9,
          {peaks.f32 * 1e9, peaks.bf16 * 1e9, peaks.int8 * 1e9}};
}

}  // namespace infernum::app
