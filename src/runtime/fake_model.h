// FakeModel: a model for tests of the runtime whose logits are a hash of exactly the tokens that its layers see, read from numbered blocks
// by way of the block tables: a block that is shared wrongly, given away too early or never computed changes them.
#pragma once
#include <cmath>
#include <map>
#include <new>
#include <optional>
#include <set>

#include "core/check.h"
#include "core/device_error.h"
#include "models/model.h"
#include "runtime/token_choice.h"

namespace infernum::test {

class FakeModel : public Model {
 public:
  static constexpr int32_t vocab = 50;

  explicit FakeModel(const std::vector<Retention>& groups, int64_t context = 400) {
    info_.family = "fake";
    info_.vocab_size = vocab;
    info_.context = context;
    info_.ranks = 1;
    info_.cache_dtype = DType::F16;
    std::vector<SequenceState> states;
    for (const Retention& r : groups) states.push_back({r, {{"k_cache", {1, 1, block_tokens}}, {"v_cache", {1, block_tokens, 1}}}});
    info_.set_states(std::move(states));
  }

  /// Tokens that make the model throw, having written half of the step, and compute NaN.
  std::optional<int32_t> throws_at, nan_at;
  /// Tokens for which there is no memory, and which cost the device.
  std::optional<int32_t> bad_alloc_at, lost_at;
  std::optional<int64_t> most_tokens;  ///< of a step, beyond which there is no memory
  int64_t steps = 0, rows = 0, shortages = 0, steps_when_lost = 0;

  const ModelInfo& info() const override { return info_; }
  void allocate_cache(const std::vector<int64_t>& blocks) override {
    blocks_ = blocks;
    memory_.clear();
    for (int64_t n : blocks) memory_.emplace_back(static_cast<size_t>(n * block_tokens), 0xdeadu);
  }
  void observe(Observer) override {}
  void observe_ops(Observer) override {}
  void time_ops(OpTimer timer) override { timer_ = std::move(timer); }

  std::vector<float> forward(const HostBatch& b) override {
    check_batch(b, info_, blocks_);
    steps++, rows += static_cast<int64_t>(b.out_rows.size());
    if (timer_) timer_({"fake", std::chrono::steady_clock::now(), 1e-6});
    const size_t sequences = b.query_start.size() - 1;
    std::vector<float> logits(b.out_rows.size() * vocab);
    for (size_t s = 0; s < sequences; s++) {
      const auto begin = static_cast<size_t>(b.query_start[s]), end = static_cast<size_t>(b.query_start[s + 1]);
      std::vector<uint64_t> seen(end - begin, 1);
      for (size_t g = 0; g < info_.groups.size(); g++) {
        const size_t width = b.block_tables[g].size() / sequences;
        const int32_t* table = b.block_tables[g].data() + s * width;
        if (info_.groups[g].kind == Retention::Kind::Recurrent)
          run_recurrent(g, b, begin, end, table, width, seen);
        else
          run_attention(g, b, begin, end, table, seen);
      }
      for (size_t r = 0; r < b.out_rows.size(); r++)
        if (const auto row = static_cast<size_t>(b.out_rows[r]); row >= begin && row < end)
          fill({logits.data() + r * vocab, vocab}, seen[row - begin], b.ids[row]);
      if (most_tokens && static_cast<int64_t>(b.ids.size()) > *most_tokens) {
        shortages++;
        throw OutOfMemory("on the fake device", int64_t{64} << 20, 1 << 20, int64_t{1} << 30);
      }
    }
    return logits;
  }

  /// What the logits behind `tokens` have to be, from the tokens alone.
  std::vector<float> expected(std::span<const int32_t> tokens) const {
    const auto last = static_cast<int64_t>(tokens.size()) - 1;
    uint64_t seen = 1;
    for (const Retention& r : info_.groups) {
      const bool state = r.kind == Retention::Kind::Recurrent;
      uint64_t h = 1;
      for (int64_t p = state ? 0 : r.oldest_read(last); p <= last; p++) h = mix(h, cell(tokens[static_cast<size_t>(p)], state ? 0 : p));
      seen = mix(seen, h);
    }
    std::vector<float> logits(vocab);
    fill(logits, seen, tokens[static_cast<size_t>(last)]);
    return logits;
  }

 private:
  static uint64_t mix(uint64_t h, uint64_t x) {
    h = (h ^ x) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
  }
  static uint64_t cell(int32_t token, int64_t position) {
    return static_cast<uint64_t>(token) * 1000003u + static_cast<uint64_t>(position);
  }

  void run_attention(size_t g, const HostBatch& b, size_t begin, size_t end, const int32_t* table, std::vector<uint64_t>& seen) {
    auto& memory = memory_[g];
    const auto at = [&](int64_t p) -> uint64_t& {
      const int32_t block = table[p / block_tokens];
      check(block >= 0, "fake model: a block that is read is not there", "group", g, "position", p);
      return memory[static_cast<size_t>(block * block_tokens + p % block_tokens)];
    };
    for (size_t i = begin; i < end; i++) {
      at(b.positions[i]) = cell(b.ids[i], b.positions[i]);
      throw_at(b.ids[i]);
    }
    for (size_t i = begin; i < end; i++) {
      uint64_t h = 1;
      for (int64_t p = info_.groups[g].oldest_read(b.positions[i]); p <= b.positions[i]; p++) h = mix(h, at(p));
      seen[i - begin] = mix(seen[i - begin], h);
    }
  }

  void run_recurrent(size_t g, const HostBatch& b, size_t begin, size_t end, const int32_t* table, size_t width,
                     std::vector<uint64_t>& seen) {
    auto& memory = memory_[g];
    const int64_t first = b.positions[begin];
    check(first == 0 || table[(first - 1) / block_tokens] >= 0, "fake model: a state that is read is not there", "position", first);
    uint64_t h = first == 0 ? 1 : memory[static_cast<size_t>(table[(first - 1) / block_tokens] * block_tokens)];
    for (size_t i = begin; i < end; i++) {
      const int64_t p = b.positions[i];
      h = mix(h, cell(b.ids[i], 0));
      const auto block = static_cast<size_t>(p / block_tokens);
      check(block < width, "fake model: a table is too short", block, width);
      const bool throws = throws_at == b.ids[i] || bad_alloc_at == b.ids[i] || lost_at == b.ids[i];
      const bool leaves = i + 1 == end || (p + 1) % block_tokens == 0 || throws;
      if (leaves && table[block] >= 0) memory[static_cast<size_t>(table[block] * block_tokens)] = h;
      throw_at(b.ids[i]);
      seen[i - begin] = mix(seen[i - begin], h);
    }
  }

  void throw_at(int32_t id) {
    check(id != throws_at, "fake model: this token throws", id);
    if (id == lost_at) {
      steps_when_lost = steps;
      throw DeviceLost("fake model: a kernel failed [fake_model.h:1]", "an illegal address");
    }
    if (id != bad_alloc_at) return;
    shortages++;
    throw std::bad_alloc();
  }

  void fill(std::span<float> logits, uint64_t seen, int32_t last) const {
    for (size_t i = 0; i < logits.size(); i++)
      logits[i] = last == nan_at ? NAN : static_cast<float>(mix(seen, i) >> 40) / static_cast<float>(1 << 22);
  }

  ModelInfo info_;
  std::vector<int64_t> blocks_;
  std::vector<std::vector<uint64_t>> memory_;
  OpTimer timer_;
};

}  // namespace infernum::test
