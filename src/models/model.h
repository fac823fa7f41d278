// Model: a loaded network behind one seam without templates. It sees a ragged batch and returns logits; everything else is the runtime's.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/device.h"

namespace infernum {

/// What one layer keeps per token of a sequence.
struct CacheLayer {
  int64_t kv_heads, head_dim;
  int window;  ///< keys a query sees, 0 for all; layers of equal window form a cache group
};

struct ModelInfo {
  std::string family;
  int64_t vocab_size, hidden_size, num_hidden_layers;
  int64_t context;                 ///< longest sequence
  std::vector<CacheLayer> cache;   ///< whole model, all ranks
  std::vector<int> group_windows;  ///< window of each cache group, in the order of first use
  std::vector<int> layer_group;    ///< cache group of each layer
  DType cache_dtype;
  /// Bytes of keys and values that one block takes in all layers of `group`.
  int64_t block_bytes(int group) const;
};

/// One step for R sequences, T tokens. Rows of a block table are as long as the longest; unused and freed entries are 0 and not read.
struct HostBatch {
  std::vector<int32_t> ids, positions;             ///< (T)
  std::vector<int32_t> query_start;                ///< (R + 1), ascending from 0 to T
  std::vector<std::vector<int32_t>> block_tables;  ///< per cache group (R * width)
  std::vector<int32_t> out_rows;                   ///< rows of T whose logits are wanted
};

struct ModelOptions {
  int threads = 0;  ///< 0: all that this process may use
  int ranks = 1;    ///< tensor-parallel ranks, as threads of this process
  Fusion fusion = Fusion::On;
  DType dtype = DType::F32;        ///< of activations
  DType cache_dtype = DType::F32;  ///< of keys and values
  int64_t max_model_len = 0;       ///< 0: what the config says
  std::string isa;                 ///< "": the best of this machine
};

using Observer = std::function<void(std::string_view name, const std::vector<int64_t>& shape, const std::vector<float>& values)>;

class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;
  /// Makes room for `blocks[g]` blocks of block_tokens tokens in every layer of group g. Drops what was cached.
  virtual void allocate_cache(const std::vector<int64_t>& blocks) = 0;
  /// Logits (out_rows, vocab_size). Throws Error on a batch that breaks its own rules; the model stays usable.
  virtual std::vector<float> forward(const HostBatch& batch) = 0;
  /// Sees the residual stream of rank 0 after every layer ("hidden0" ...); empty to stop.
  virtual void observe(Observer observer) = 0;
  /// Sees the first output of every op of rank 0, by the op's name; empty to stop.
  virtual void observe_ops(Observer observer) = 0;
  /// Told the name and duration of every op of rank 0; empty to stop.
  virtual void time_ops(std::function<void(std::string_view op, double seconds)> timer) = 0;
};

/// Throws unless the batch is well-formed for a model of this kind with caches of this many blocks.
void check_batch(const HostBatch& batch, const ModelInfo& info, const std::vector<int64_t>& blocks);

}  // namespace infernum
