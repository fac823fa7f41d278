// What sets a family's GGUF files apart from its Hugging Face checkpoints, as data: names, layouts, metadata keys. Read in both directions.
#pragma once
#include <array>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string_view>

namespace infernum {

class GgufSource;
class ConfigView;
class GgufKeys;

/// Where the rows (or columns) of the file's tensor come from. A reader leaves the order as it finds it: rope_interleaved and
/// linear_value_heads_tiled of the made config say what it is.
enum class GgufOrder {
  Same,
  QueryPairs,        ///< in each of the query heads row 2 i + j is row j D / 2 + i
  KeyPairs,          ///< the same in each of the key heads
  TiledValues,       ///< rows of value heads: head v Hk + k is head k Hv / Hk + v
  TiledQkv,          ///< rows q | k | v of which those of v are tiled
  TiledColumns,      ///< as TiledValues, for the columns
  Experts,           ///< the matrices of all experts, stacked
  Transposed,        ///< (E, a, b) of each expert as (b, a); as the rows below only ever written
  EvenTransposed,    ///< every other column, from 0
  OddTransposed,     ///< every other column, from 1
  FirstTransposed,   ///< the first half of the columns
  SecondTransposed,  ///< the second half of the columns
  EvenColumns,       ///< (E, 2 b) as (E, b): every other element, from 0
  OddColumns,
  FirstRows,   ///< (E, 2 a, b) as (E, a, b): the first half
  SecondRows,  ///< the second half
  Blocks,      ///< mxfp4 blocks and scales (E, rows, ...) as blocks of MXFP4
  EvenBlocks,  ///< every other row of them, from 0
  OddBlocks,
  LatentKeys,    ///< kv_b (Nq (nope + v), R) -> (Nq, R, nope)
  LatentValues,  ///< kv_b (Nq (nope + v), R) -> (Nq, v, R)
  GroupedQkv,    ///< rows q k v z of each key head -> all q | all k | all v
  GroupedGate,   ///< rows q k v z of each key head -> all z
};

enum class GgufValues { Same, PlusOne, MinusExp };             ///< w, w + 1, -exp(w)
enum class GgufForm { Same, WithoutMiddle, WithoutFirst };     ///< (a, 1, b) as (a, b); (1, a) as (a)
enum class GgufUse { Both, EveryLayer, ReadOnly, WriteOnly };  ///< EveryLayer: both, and missing in no layer of a complete model

/// Patterns: N stands for the layer, E for the expert, a final * for weight or bias.
struct GgufTensor {
  std::string_view gguf, hugging_face;
  GgufUse use = GgufUse::Both;
  GgufOrder order = GgufOrder::Same;
  GgufValues values = GgufValues::Same;
  GgufForm form = GgufForm::Same;
};

enum class GgufKind { Integer, Number, Flag };

/// A key of config.json that is one key of the metadata, absent or present in both. `gguf` lacks the prefix "<arch>.".
struct GgufKey {
  const char* hugging_face;
  const char* gguf;
  GgufKind kind;
};

/// A list of at most Capacity lists, each somewhere in the tables.
template <class T, size_t Capacity>
using GgufGroups = std::array<std::span<const T>, Capacity>;

enum class GgufHeads { Alike, Own };  ///< Own: head sizes are the business of `read` and `write`

struct GgufFamily {
  std::string_view model_type;        ///< of config.json
  std::string_view architecture;      ///< of config.json
  std::string_view arch;              ///< general.architecture
  GgufGroups<GgufTensor, 8> tensors;  ///< of rows for one tensor the first counts
  bool interleaved = false;           ///< rows of q and k in the file are for pairs (2i, 2i+1)
  GgufGroups<GgufKey, 3> keys{};      ///< beyond those of every decoder
  std::string_view constants = "{}";  ///< JSON: values that the file implies; keys of the file override them
  GgufHeads heads = GgufHeads::Alike;
  double rope_theta = 10000.0;         ///< where the file has none
  double partial_rotary_factor = 1.0;  ///< where config.json has none
  double log_multiplier = 1.0;         ///< rope.scaling.yarn_log_multiplier is mscale_all_dim times this
  bool truncated_yarn = true;          ///< what the file implies
  /// The rest, in both directions; may be null.
  void (*read)(const GgufSource&, nlohmann::json& config) = nullptr;
  void (*write)(const ConfigView&, GgufKeys&) = nullptr;
  /// Which family a file is of, where several share an arch; null means yes. The first of the table that agrees is taken.
  bool (*is)(const GgufSource&) = nullptr;
  bool rms_norm = true;                ///< false: the epsilon of the norms is among `keys`
  bool tied = false;                   ///< tie_word_embeddings where config.json has none
  bool writes_log_multiplier = false;  ///< a file may have rope.scaling.yarn_log_multiplier
  bool proportional_rope = false;      ///< rope_freqs.weight may be there to stop pairs: rope_type proportional
  bool begins_with_bos = false;        ///< text without BOS in front is nothing the model knows, whether or not the tokenizer adds it
  /// Where general.name, in small letters, holds one of these, added tokens swallow the space behind them; the file does not say so.
  std::array<std::string_view, 2> stripping_names{};
};

std::span<const GgufFamily> gguf_families();

/// Null when no family has this model_type.
const GgufFamily* find_gguf_family(std::string_view model_type);

/// Whether the added tokens of a file with this general.name swallow the space behind them.
bool added_tokens_strip_right(std::string_view general_name);

}  // namespace infernum
