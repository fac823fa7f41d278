// `infernum verify`: a model against recorded outputs of the reference implementation; names the first layer that diverges, and the op
// whose fast kernel disagrees with the portable one, if that is why.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>

#include "checkpoint/safetensors.h"
#include "core/check.h"
#include "models/loader.h"
#include "options.h"
#include "quant/quant.h"
#include "runtime/executor.h"
#include "session.h"

namespace infernum::app {
namespace {

using Values = std::vector<float>;

class GoldenFile {
 public:
  explicit GoldenFile(const std::string& path) {
    for (auto& t : open_safetensors(path).tensors) tensors_.emplace(t.name, std::move(t));
  }
  bool has(const std::string& name) const { return tensors_.count(name) > 0; }
  Values floats(const std::string& name) const {
    const StoredTensor& t = get(name);
    Values v(static_cast<size_t>(t.shape.elements()));
    dequantize(t.dtype, t.data, v.data(), t.shape.elements());
    return v;
  }
  std::vector<int32_t> ids(const std::string& name) const {
    const StoredTensor& t = get(name);
    check(t.dtype == DType::I32, "golden: ids are I32", name, t.dtype);
    std::vector<int32_t> v(static_cast<size_t>(t.shape.elements()));
    std::memcpy(v.data(), t.data, v.size() * sizeof(int32_t));
    return v;
  }

 private:
  const StoredTensor& get(const std::string& name) const {
    const auto it = tensors_.find(name);
    check(it != tensors_.end(), "golden: the file lacks an array", name);
    return it->second;
  }
  std::map<std::string, StoredTensor> tensors_;
};

double error_of(const Values& got, const Values& want) {
  if (got.size() != want.size()) return INFINITY;
  double worst = 0, scale = 1e-30;
  for (size_t i = 0; i < got.size(); i++) {
    if (!std::isfinite(got[i])) return INFINITY;
    worst = std::max(worst, std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i])));
    scale = std::max(scale, std::abs(static_cast<double>(want[i])));
  }
  return worst / scale;
}

struct Outcome {
  Values logits;                         ///< all positions
  std::map<std::string, Values> hidden;  ///< "hiddenK"
};

Outcome forward(Model& model, const std::vector<int32_t>& ids) {
  Outcome out;
  model.observe([&](std::string_view name, const std::vector<int64_t>&, const Values& v) { out.hidden[std::string(name)] = v; });
  CachePools pools(model, static_cast<int64_t>(ids.size()), 1);
  SequenceCache cache(pools);
  check(cache.reserve(static_cast<int64_t>(ids.size())), "verify: cache too small");
  const StepItem item{&cache, ids, 0, StepItem::Logits::All};
  out.logits = run_step(model, std::span(&item, 1)).values;
  model.observe({});
  return out;
}

/// Compares every recorded hidden state; returns the first layer out of tolerance, or -1.
int compare_layers(const Outcome& got, const GoldenFile& golden, const std::string& prompt, double tolerance) {
  int first = -1;
  for (int k = 0; golden.has(prompt + ".hidden" + std::to_string(k)); k++) {
    const std::string name = "hidden" + std::to_string(k);
    const double error = error_of(got.hidden.at(name), golden.floats(prompt + "." + name));
    std::printf("%-10s %-10s relative error %.2e%s\n", prompt.c_str(), name.c_str(), error, error > tolerance ? "  <-- diverges" : "");
    if (error > tolerance && first < 0) first = k;
  }
  return first;
}

/// An op's output within a step, and the layer it belongs to.
struct OpValue {
  std::string op;
  int layer;  ///< -1: before the first
  Values values;
};

std::vector<OpValue> record_ops(Model& model, const std::vector<int32_t>& ids) {
  std::vector<OpValue> ops;
  int layer = -1;
  model.observe_ops([&](std::string_view op, const std::vector<int64_t>&, const Values& v) { ops.push_back({std::string(op), layer, v}); });
  model.observe([&](std::string_view, const std::vector<int64_t>&, const Values&) { layer++; });
  CachePools pools(model, static_cast<int64_t>(ids.size()), 1);
  SequenceCache cache(pools);
  check(cache.reserve(static_cast<int64_t>(ids.size())), "verify: cache too small");
  const StepItem item{&cache, ids, 0, StepItem::Logits::All};
  run_step(model, std::span(&item, 1));
  model.observe_ops({});
  model.observe({});
  return ops;
}

/// Tells a wrong kernel from wrong mathematics: runs the same ids with the portable kernels, unfused, and compares op by op.
void explain(const Session& session, const std::vector<int32_t>& ids, bool one_token_agrees) {
  ModelOptions portable = session.options;
  portable.isa = "portable";
  portable.fusion = Fusion::Off;
  ModelOptions fast = session.options;
  fast.fusion = Fusion::Off;
  const auto reference = load_model(session.checkpoint, portable), suspect = load_model(session.checkpoint, fast);
  const auto want = record_ops(*reference, ids), got = record_ops(*suspect, ids);
  for (size_t i = 0; i < std::min(want.size(), got.size()); i++)
    if (const double error = error_of(got[i].values, want[i].values); error > 1e-3) {
      std::printf("first op: %s (number %zu of the step, layer %d): its fast kernel is %.1e away from the portable one\n",
                  got[i].op.c_str(), i, got[i].layer, error);
      return;
    }
  std::printf(
      "no op: all %zu agree with the portable kernels, so the weights, the config or the family's formulas differ from the reference;\n",
      got.size());
  std::printf(
      "%s\n",
      one_token_agrees
          ? "one token alone agrees, so look at what depends on other tokens: rope, attention (mask, window, scale, cache)"
          : "one token alone differs too, so look at what does not depend on others: norms (eps), projections, biases, MLP or router");
}

}  // namespace

int verify(const VerifyFlags& flags) {
  Session session(flags, flags.bf16_frequencies);
  const GoldenFile golden(flags.golden);
  bool good = true, one_token_agrees = false;
  int compared = 0;
  std::vector<int32_t> diverging;
  for (int n = 0; golden.has("prompt" + std::to_string(n) + ".ids"); n++) {
    const std::string prompt = "prompt" + std::to_string(n);
    const auto ids = golden.ids(prompt + ".ids");
    const Outcome got = forward(*session.model, ids);
    const Values want = golden.floats(prompt + ".logits");
    check(want.size() <= got.logits.size(), "verify: the golden logits are of another vocabulary or more positions", want.size(),
          got.logits.size());
    const double error = error_of({got.logits.end() - static_cast<std::ptrdiff_t>(want.size()), got.logits.end()}, want);
    std::printf("%-10s %-10s relative error %.2e%s\n", prompt.c_str(), "logits", error, error > flags.tolerance ? "  <-- diverges" : "");
    const int layer = compare_layers(got, golden, prompt, flags.tolerance);
    const bool equal = error <= flags.tolerance && layer < 0;
    if (ids.size() == 1) one_token_agrees = equal;
    if (!equal && (good || layer >= 0)) diverging = ids;
    good = good && equal;
    compared++;
    if (layer == 0) std::printf("first divergence: the embedding\n");
    if (layer > 0)
      std::printf("first divergence: layer %d%s\n", layer - 1,
                  layer == session.model->info().num_hidden_layers ? " or the final norm" : "");
    if (layer < 0 && error > flags.tolerance && golden.has(prompt + ".hidden0"))
      std::printf("first divergence: the final norm or the head\n");
  }
  if (!good) explain(session, diverging, one_token_agrees);
  check(compared > 0, "verify: the golden file has no prompt0.ids", flags.golden);
  std::printf("%s: %d prompts, tolerance %.0e\n", good ? "equal" : "DIFFERENT", compared, flags.tolerance);
  return good ? 0 : 1;
}

}  // namespace infernum::app
