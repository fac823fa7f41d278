// Model: a loaded network behind one seam without templates. It sees a ragged batch and returns logits; everything else is the runtime's.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/device.h"
#include "ops/sequence_state.h"

namespace infernum {

struct ModelInfo {
  std::string family;
  int64_t vocab_size, hidden_size, num_hidden_layers;
  int64_t context;                    ///< longest sequence
  bool tied;                          ///< the head is the embedding
  int ranks;                          ///< tensor-parallel ranks
  DType cache_dtype;                  ///< of keys, values and latents
  std::vector<SequenceState> states;  ///< what each layer keeps of a sequence, on one rank
  std::vector<Retention> groups;      ///< the different retentions, in the order of first use
  std::vector<int> state_group;       ///< group of each state

  /// Sets states, groups and state_group.
  void set_states(std::vector<SequenceState> list);
  /// Bytes of one block in all layers of `group`, all ranks together.
  int64_t block_bytes(int group) const;
  /// What every further token of a long sequence costs, and what a sequence costs however long it is; all ranks together.
  int64_t bytes_per_token() const;
  int64_t bytes_per_sequence() const;
};

/// One step for R sequences, T tokens. Rows of a block table are as long as the longest; unused and freed entries are not read.
struct HostBatch {
  std::vector<int32_t> ids, positions;             ///< (T)
  std::vector<int32_t> query_start;                ///< (R + 1), ascending from 0 to T
  std::vector<std::vector<int32_t>> block_tables;  ///< per group of layers (R * width); -1: no block
  std::vector<int32_t> out_rows;                   ///< rows of T whose logits are wanted
};

/// A processor: "cpu", "cuda" for the first GPU, "cuda:1" for another.
struct Place {
  bool cuda = false;
  int ordinal = 0;
};
/// Throws Error that lists the spellings; or that this build has no CUDA.
Place parse_place(std::string_view text);

struct ModelOptions {
  Place place;
  int threads = 0;  ///< 0: all that this process may use
  int ranks = 1;    ///< tensor-parallel ranks, as threads of this process
  Fusion fusion = Fusion::On;
  DType dtype = DType::F32;             ///< of activations
  DType cache_dtype = DType::F32;       ///< of keys and values
  int64_t max_model_len = 0;            ///< 0: what the config says
  std::string isa;                      ///< "": the best of this machine
  bool bf16_frequencies = false;        ///< see RopeConfig
  double gpu_memory_utilization = 0.9;  ///< share of a GPU's memory for weights, cache and activations together
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
  /// Bytes that a cache may take on a device with memory of its own; 0 where the model shares the machine's.
  virtual int64_t device_memory_left() const { return 0; }
  /// Told when every op of rank 0 ran, at the latest when its step is done; empty to stop.
  virtual void time_ops(OpTimer timer) = 0;
};

/// Throws unless the batch is well-formed for a model of this kind with caches of this many blocks.
void check_batch(const HostBatch& batch, const ModelInfo& info, const std::vector<int64_t>& blocks);

}  // namespace infernum
