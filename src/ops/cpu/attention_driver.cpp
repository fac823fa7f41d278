// run_attention(): cuts a ragged batch into tiles of one kv head and a few tokens, and their keys into parts where tiles are few.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backends/cpu/queue.h"
#include "ops/batch.h"
#include "ops/cpu/attention.h"
#include "ops/cpu/row_ops.h"

namespace infernum {
namespace {

constexpr int64_t tile_rows = 32;         // enough to reuse each key from registers, few enough to stay in L1
constexpr int64_t least_part_keys = 256;  // a shorter part does not pay for merging it

/// Query heads head .. head + heads - 1, all of one kv head, of tokens first .. first + tokens - 1, all of one sequence.
struct Tile {
  int64_t sequence, first, tokens, head, heads;
  int64_t first_key, end_key;
  int64_t part, parts;  // the results of its parts lie behind each other from `part` on; one part needs no place
  int64_t rows() const { return tokens * heads; }
};

struct Part {
  int64_t tile, first_key, end_key;
  int64_t index;  // among all parts that are merged; -1: the whole tile
};

/// What one thread needs for a tile.
struct Workspace {
  float *q, *out, *highest, *total, *scratch;
  int32_t *position, *oldest;
};

class RaggedAttention {
 public:
  RaggedAttention(Queue<Cpu>& queue, const AttentionWork& work)
      : queue_(queue), ops_(row_ops(queue.isa)), attend_(attend_tile(queue.isa, work.cache, work.keys)), w_(work) {}

  void run() {
    cut_tiles();
    cut_parts();
    lay_out(Carver(nullptr));
    lay_out(Carver(queue_.scratch.get(scratch_bytes_)));
    std::atomic<int64_t> next{0};
    const auto parts = static_cast<int64_t>(parts_.size());
    const auto work = [&](int thread) {
      for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < parts;)
        attend_part(parts_[static_cast<size_t>(i)], workspaces_[static_cast<size_t>(thread)]);
    };
    if (parts == 1) {
      const FlushDenormals flush;
      work(0);
    } else {
      queue_.pool.run(work);
    }
    for (const Tile& tile : tiles_)
      if (tile.parts > 1)
        queue_.parallel_for(tile.rows(), 4, [&](int64_t begin, int64_t end) {
          for (int64_t r = begin; r < end; r++) merge(tile, r);
        });
  }

 private:
  int32_t position(int64_t token) const { return w_.positions.as<const int32_t>()[token]; }
  int64_t oldest_key(int64_t p) const {
    return std::max({int64_t{0}, w_.window > 0 ? p - w_.window + 1 : 0, w_.chunk > 0 ? p / w_.chunk * w_.chunk : 0});
  }

  void cut_tiles() {
    const int32_t* start = w_.query_start.as<const int32_t>();
    const int64_t pieces = (w_.group + tile_rows - 1) / tile_rows, heads = (w_.group + pieces - 1) / pieces;
    const int64_t tokens = std::max<int64_t>(1, tile_rows / heads);
    for (int64_t s = 0; s + 1 < w_.query_start.cols(); s++)
      for (int64_t t = start[s]; t < start[s + 1]; t += tokens)
        for (int64_t h = 0; h < w_.kv_heads * w_.group; h += std::min(heads, w_.group - h % w_.group)) {
          const int64_t n = std::min(tokens, start[s + 1] - t), begin = oldest_key(position(t)) / block_tokens * block_tokens;
          tiles_.push_back({s, t, n, h, std::min(heads, w_.group - h % w_.group), begin, position(t + n - 1) + int64_t{1}, 0, 1});
          most_rows_ = std::max(most_rows_, tiles_.back().rows());
        }
  }

  void cut_parts() {
    int64_t keys = 0;
    for (const Tile& t : tiles_) keys += t.end_key - t.first_key;
    const int64_t share = keys / (4 * queue_.pool.size());
    const int64_t most = queue_.pool.size() == 1 ? keys : (std::max(share, least_part_keys) + tile_keys - 1) / tile_keys * tile_keys;
    for (size_t i = 0; i < tiles_.size(); i++) {
      Tile& t = tiles_[i];
      t.parts = std::max<int64_t>(1, (t.end_key - t.first_key + most - 1) / std::max<int64_t>(1, most));
      t.part = merged_parts_;
      for (int64_t p = 0; p < t.parts; p++) {
        const int64_t begin = t.first_key + p * most;
        parts_.push_back({static_cast<int64_t>(i), begin, std::min(t.end_key, begin + most), t.parts > 1 ? merged_parts_++ : -1});
      }
    }
  }

  int64_t part_floats() const { return most_rows_ * (w_.value_dim + 2); }

  void lay_out(Carver carver) {
    partial_ = carver.take<float>(merged_parts_ * part_floats());
    workspaces_.clear();
    for (int t = 0; t < queue_.pool.size(); t++) {
      Workspace s{};
      s.q = carver.take<float>(most_rows_ * w_.key_dim);
      s.out = carver.take<float>(most_rows_ * w_.value_dim);
      s.highest = carver.take<float>(most_rows_);
      s.total = carver.take<float>(most_rows_);
      s.scratch = carver.take<float>(tile_scratch(most_rows_, w_.key_dim));
      s.position = carver.take<int32_t>(most_rows_);
      s.oldest = carver.take<int32_t>(most_rows_);
      workspaces_.push_back(s);
    }
    scratch_bytes_ = carver.bytes();
  }

  /// Where a part's result lies: out (rows, value_dim), then highest and total (rows).
  float* partial_out(int64_t part) const { return partial_ + part * part_floats(); }
  float* partial_highest(int64_t part) const { return partial_out(part) + most_rows_ * w_.value_dim; }
  float* partial_total(int64_t part) const { return partial_highest(part) + most_rows_; }

  void attend_part(const Part& part, const Workspace& s) const {
    const Tile& tile = tiles_[static_cast<size_t>(part.tile)];
    const int64_t columns = tile.heads * w_.key_dim, element = info(w_.cache).bytes;
    for (int64_t t = 0; t < tile.tokens; t++) {
      float* q = s.q + t * columns;
      ops_.to_f32(q, w_.q.row_bytes(tile.first + t) + bytes_of(w_.q.dtype, tile.head * w_.key_dim), w_.q.dtype, columns);
      for (int64_t i = 0; i < columns; i++) q[i] *= w_.scale;
      std::fill_n(s.position + t * tile.heads, tile.heads, position(tile.first + t));
      std::fill_n(s.oldest + t * tile.heads, tile.heads, static_cast<int32_t>(oldest_key(position(tile.first + t))));
    }
    const bool whole = part.index < 0;
    float* out = whole ? s.out : partial_out(part.index);
    float* highest = whole ? s.highest : partial_highest(part.index);
    float* total = whole ? s.total : partial_total(part.index);
    const int64_t head_offset = tile.head / w_.group * w_.head_stride * element;
    attend_({s.q, out, highest, total, s.position, s.oldest, tile.rows(), w_.key_dim, w_.value_dim, part.first_key, part.end_key,
             static_cast<const char*>(w_.k) + head_offset, static_cast<const char*>(w_.v) + head_offset, w_.value_stride, w_.block_stride,
             w_.block_table.row<const int32_t>(tile.sequence), w_.softcap, s.scratch});
    if (whole)
      for (int64_t r = 0; r < tile.rows(); r++) finish(tile, r, out + r * w_.value_dim, highest[r], total[r]);
  }

  /// Adds up the parts of row r in the place of the first one.
  void merge(const Tile& tile, int64_t r) const {
    float limit = partial_highest(tile.part)[r];
    for (int64_t p = 1; p < tile.parts; p++) limit = std::max(limit, partial_highest(tile.part + p)[r]);
    float *out = partial_out(tile.part) + r * w_.value_dim, sum = 0;
    for (int64_t p = 0; p < tile.parts; p++) {
      const float factor = std::exp(partial_highest(tile.part + p)[r] - limit);
      sum += factor * partial_total(tile.part + p)[r];
      if (p == 0)
        for (int64_t d = 0; d < w_.value_dim; d++) out[d] *= factor;
      else
        ops_.scaled_add(out, factor, partial_out(tile.part + p) + r * w_.value_dim, w_.value_dim);
    }
    finish(tile, r, out, limit, sum);
  }

  /// Divides by the sum and stores the row. A sink is a key without a value: it joins the sum only.
  void finish(const Tile& tile, int64_t r, float* out, float highest, float total) const {
    const int64_t head = tile.head + r % tile.heads;
    float factor = 1;
    if (w_.sinks) {
      const float limit = std::max(highest, w_.sinks[head]);
      factor = std::exp(highest - limit);
      total = total * factor + std::exp(w_.sinks[head] - limit);
    }
    for (int64_t d = 0; d < w_.value_dim; d++) out[d] *= factor / total;
    ops_.from_f32(w_.y.row_bytes(tile.first + r / tile.heads) + bytes_of(w_.y.dtype, head * w_.value_dim), w_.y.dtype, out, w_.value_dim);
  }

  Queue<Cpu>& queue_;
  const RowOps& ops_;
  AttendTile attend_;
  const AttentionWork& w_;
  std::vector<Tile> tiles_;
  std::vector<Part> parts_;
  std::vector<Workspace> workspaces_;
  float* partial_ = nullptr;
  int64_t most_rows_ = 0, merged_parts_ = 0;
  std::size_t scratch_bytes_ = 0;
};

}  // namespace

void run_attention(Queue<Cpu>& queue, const AttentionWork& work) { RaggedAttention(queue, work).run(); }

}  // namespace infernum
