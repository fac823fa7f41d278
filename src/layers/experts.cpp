#include "layers/experts.h"

#include <cstring>

#include "checkpoint/stored_tensor.h"
#include "formats/slice.h"

namespace infernum {
namespace {

/// Copies matrices of one shape and dtype behind each other; of matrices without data it only describes the stack.
StoredTensor stack(const std::vector<StoredTensor>& parts) {
  StoredTensor s = parts.front();
  s.shape = {static_cast<int64_t>(parts.size()), s.shape[0], s.shape[1]};
  s.bytes = 0;
  bool complete = true;
  for (const StoredTensor& p : parts) {
    s.bytes += p.bytes;
    complete = complete && p.data;
  }
  if (!complete) {
    s.data = nullptr;
    s.owner = nullptr;
    s.file = nullptr;
    return s;
  }
  for (const StoredTensor& p : parts)
    check(p.dtype == s.dtype, "experts: all experts of a layer must have one dtype", p.name, p.dtype, s.dtype);
  auto copy = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(s.bytes));
  std::byte* out = copy->data();
  for (const StoredTensor& p : parts) {
    std::memcpy(out, p.data, static_cast<size_t>(p.bytes));
    out += p.bytes;
  }
  s.data = copy->data();
  s.owner = std::move(copy);
  s.file = nullptr;
  return s;
}

}  // namespace

StoredTensor read_experts(const std::function<bool(const std::string&)>& has,
                          const std::function<StoredTensor(const std::string&, const Shape&)>& read, std::string_view leaf, int fused_part,
                          int64_t experts, int64_t n, int64_t k, Split how, int rank, int ranks) {
  const std::string name(leaf);
  std::vector<StoredTensor> parts;
  const auto add = [&](const StoredTensor& t) { parts.push_back(split(t, how, rank, ranks)); };
  if (has(name + ".weight")) {
    StoredTensor whole = read(name + ".weight", {experts, n, k});
    if (ranks == 1) return whole;
    for (int64_t e = 0; e < experts; e++) add(slice_stack(whole, e));
  } else if (fused_part >= 0 && has("gate_up_proj")) {
    const StoredTensor whole = read("gate_up_proj", {experts, 2 * n, k});
    for (int64_t e = 0; e < experts; e++) add(slice_rows(slice_stack(whole, e), fused_part * n, (fused_part + 1) * n));
  } else if (fused_part < 0 && has(name)) {
    StoredTensor whole = read(name, {experts, n, k});
    if (ranks == 1) return whole;
    for (int64_t e = 0; e < experts; e++) add(slice_stack(whole, e));
  } else {
    for (int64_t e = 0; e < experts; e++) add(read(std::to_string(e) + "." + name + ".weight", {n, k}));
  }
  return stack(parts);
}

}  // namespace infernum
