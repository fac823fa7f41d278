// run_attention(): cuts a ragged batch into tiles of one kv head and a few tokens, and their keys into parts.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backends/cpu/queue.h"
#include "ops/batch.h"
#include "ops/cpu/attention.h"
#include "ops/cpu/row_ops.h"

namespace infernum {
namespace {

constexpr int64_t tile_rows = 32;  // enough to reuse each key from registers, few enough to stay in L1

/// Query heads head .. head + heads - 1, all of one kv head, of tokens first .. first + tokens - 1, all of one sequence.
struct Tile {
  int64_t sequence, first, tokens, head, heads;
  int64_t first_key, end_key;
  int64_t part, parts;  // the results of its parts lie behind each other from `part` on; none, if one thread takes them all
  int64_t rows() const { return tokens * heads; }
};

/// What a thread does at once: the keys of one part of a tile, or all of them.
struct Task {
  int64_t tile, first_key, end_key;
  int64_t part;  // where the result lies; -1: the whole tile
};

/// Results of some keys for the rows of a tile.
struct Sums {
  float *out, *highest, *total;  // (rows, value_dim), (rows), (rows)
};

/// What one thread needs for a tile.
struct Workspace {
  float *q, *scratch;
  Sums sums, part;
  int32_t *position, *oldest;
};

class RaggedAttention {
 public:
  RaggedAttention(Queue<Cpu>& queue, const AttentionWork& work)
      : queue_(queue), ops_(row_ops(queue.isa)), attend_(attend_tile(queue.isa, work.cache, work.keys)), w_(work) {}

  void run() {
    cut_tiles();
    cut_tasks();
    lay_out(Carver(nullptr));
    lay_out(Carver(queue_.scratch.get(scratch_bytes_)));
    std::atomic<int64_t> next{0};
    const auto count = static_cast<int64_t>(tasks_.size());
    const auto work = [&](int thread) {
      for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;)
        attend_task(tasks_[static_cast<size_t>(i)], workspaces_[static_cast<size_t>(thread)]);
    };
    if (count == 1) {
      const FlushDenormals flush;
      work(0);
    } else {
      queue_.pool.share(work);
    }
    for (const Tile& tile : tiles_)
      if (tile.parts > 0)
        queue_.parallel_for(tile.rows(), 4, [&](int64_t begin, int64_t end) {
          for (int64_t r = begin; r < end; r++) {
            for (int64_t p = 1; p < tile.parts; p++) merge(partial(tile.part), partial(tile.part + p), r);
            finish(tile, r, partial(tile.part));
          }
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
          tiles_.push_back({s, t, n, h, std::min(heads, w_.group - h % w_.group), begin, position(t + n - 1) + int64_t{1}, 0, 0});
          most_rows_ = std::max(most_rows_, tiles_.back().rows());
        }
  }

  /// A tile with more than its share of keys is spread over the threads. That changes who adds, not what is added in which order.
  void cut_tasks() {
    int64_t keys = 0;
    for (const Tile& t : tiles_) keys += t.end_key - t.first_key;
    const int64_t share = keys / (4 * queue_.pool.size());
    for (size_t i = 0; i < tiles_.size(); i++) {
      Tile& t = tiles_[i];
      const auto tile = static_cast<int64_t>(i);
      if (queue_.pool.size() == 1 || t.end_key - t.first_key <= share || part_end(t.first_key) >= t.end_key) {
        tasks_.push_back({tile, t.first_key, t.end_key, -1});
        continue;
      }
      t.part = parts_;
      for (int64_t key = t.first_key; key < t.end_key; key = part_end(key), t.parts++)
        tasks_.push_back({tile, key, std::min(t.end_key, part_end(key)), parts_++});
    }
  }

  int64_t part_floats() const { return most_rows_ * (w_.value_dim + 2); }

  void lay_out(Carver carver) {
    partial_ = carver.take<float>(parts_ * part_floats());
    workspaces_.clear();
    const auto take_sums = [&] { return sums_at(carver.take<float>(part_floats())); };
    for (int t = 0; t < queue_.pool.size(); t++) {
      Workspace s{};
      s.q = carver.take<float>(most_rows_ * w_.key_dim);
      s.sums = take_sums();
      s.part = take_sums();
      s.scratch = carver.take<float>(tile_scratch(most_rows_, w_.key_dim));
      s.position = carver.take<int32_t>(most_rows_);
      s.oldest = carver.take<int32_t>(most_rows_);
      workspaces_.push_back(s);
    }
    scratch_bytes_ = carver.bytes();
  }

  Sums sums_at(float* p) const { return {p, p + most_rows_ * w_.value_dim, p + most_rows_ * (w_.value_dim + 1)}; }
  Sums partial(int64_t part) const { return sums_at(partial_ + part * part_floats()); }

  void attend_task(const Task& task, const Workspace& s) const {
    const Tile& tile = tiles_[static_cast<size_t>(task.tile)];
    const int64_t columns = tile.heads * w_.key_dim;
    for (int64_t t = 0; t < tile.tokens; t++) {
      float* q = s.q + t * columns;
      ops_.to_f32(q, w_.q.row_bytes(tile.first + t) + bytes_of(w_.q.dtype, tile.head * w_.key_dim), w_.q.dtype, columns);
      for (int64_t i = 0; i < columns; i++) q[i] *= w_.scale;
      std::fill_n(s.position + t * tile.heads, tile.heads, position(tile.first + t));
      std::fill_n(s.oldest + t * tile.heads, tile.heads, static_cast<int32_t>(oldest_key(position(tile.first + t))));
    }
    if (task.part >= 0) return attend(tile, task.first_key, task.end_key, s, partial(task.part));
    for (int64_t key = task.first_key; key < task.end_key; key = part_end(key)) {
      const bool first = key == task.first_key;
      attend(tile, key, std::min(task.end_key, part_end(key)), s, first ? s.sums : s.part);
      if (!first)
        for (int64_t r = 0; r < tile.rows(); r++) merge(s.sums, s.part, r);
    }
    for (int64_t r = 0; r < tile.rows(); r++) finish(tile, r, s.sums);
  }

  void attend(const Tile& tile, int64_t first_key, int64_t end_key, const Workspace& s, const Sums& to) const {
    const int64_t head_offset = tile.head / w_.group * w_.head_stride * info(w_.cache).bytes;
    attend_({s.q, to.out, to.highest, to.total, s.position, s.oldest, tile.rows(), w_.key_dim, w_.value_dim, first_key, end_key,
             static_cast<const char*>(w_.k) + head_offset, static_cast<const char*>(w_.v) + head_offset, w_.value_stride, w_.block_stride,
             w_.block_table.row<const int32_t>(tile.sequence), w_.softcap, s.scratch});
  }

  /// Adds the part behind to the sums of row r. A part whose keys a row does not see has no weight, and is as if it were not there.
  void merge(const Sums& sums, const Sums& part, int64_t r) const {
    const float limit = std::max(sums.highest[r], part.highest[r]);
    const float old = std::exp(sums.highest[r] - limit), added = std::exp(part.highest[r] - limit);
    float *out = sums.out + r * w_.value_dim, *from = part.out + r * w_.value_dim;
    if (old == 0) {
      std::copy_n(from, w_.value_dim, out);
      sums.total[r] = part.total[r];
    } else if (added != 0) {
      for (int64_t d = 0; d < w_.value_dim; d++) out[d] *= old;
      ops_.scaled_add(out, added, from, w_.value_dim);
      sums.total[r] = sums.total[r] * old + part.total[r] * added;
    }
    sums.highest[r] = limit;
  }

  /// Divides by the sum and stores the row. A sink is a key without a value: it joins the sum only.
  void finish(const Tile& tile, int64_t r, const Sums& sums) const {
    const int64_t head = tile.head + r % tile.heads;
    const float highest = sums.highest[r];
    float *out = sums.out + r * w_.value_dim, total = sums.total[r];
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
  std::vector<Task> tasks_;
  std::vector<Workspace> workspaces_;
  float* partial_ = nullptr;
  int64_t most_rows_ = 0, parts_ = 0;
  std::size_t scratch_bytes_ = 0;
};

}  // namespace

void run_attention(Queue<Cpu>& queue, const AttentionWork& work) { RaggedAttention(queue, work).run(); }

}  // namespace infernum
