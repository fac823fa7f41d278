#include "models/model.h"

#include <algorithm>
#include <charconv>

#include "core/build.h"
#include "core/check.h"

namespace infernum {

Place parse_place(std::string_view text) {
  if (text == "cpu") return {};
  Place place{true, 0};
  std::string_view rest = text;
  bool ok = rest.substr(0, 4) == "cuda";
  if (ok && rest.size() > 4) {
    rest.remove_prefix(4);
    const auto [end, error] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), place.ordinal);
    ok = rest.size() > 1 && rest[0] == ':' && rest[1] != '-' && error == std::errc() && end == rest.data() + rest.size();
  }
  check(ok, "device: one of cpu, cuda, cuda:0, cuda:1 ... is needed", text);
  check(has_cuda, "device: this program was built without CUDA; build it where nvcc is found, or use cpu", text);
  return place;
}

void ModelInfo::set_states(std::vector<SequenceState> list) {
  states = std::move(list);
  groups.clear();
  state_group.clear();
  for (const SequenceState& s : states) {
    const auto known = std::find(groups.begin(), groups.end(), s.retention);
    state_group.push_back(static_cast<int>(known - groups.begin()));
    if (known == groups.end()) groups.push_back(s.retention);
  }
}

int64_t ModelInfo::block_bytes(int group) const {
  int64_t bytes = 0;
  for (size_t i = 0; i < states.size(); i++)
    if (state_group[i] == group) bytes += states[i].block_bytes(cache_dtype) * ranks;
  return bytes;
}

int64_t ModelInfo::bytes_per_token() const {
  int64_t bytes = 0;
  for (size_t g = 0; g < groups.size(); g++)
    if (groups[g].kind == Retention::Kind::All) bytes += block_bytes(static_cast<int>(g)) / block_tokens;
  return bytes;
}

int64_t ModelInfo::bytes_per_sequence() const {
  int64_t bytes = 0;
  for (size_t g = 0; g < groups.size(); g++)
    if (groups[g].kind != Retention::Kind::All) bytes += groups[g].blocks_held(context, 1) * block_bytes(static_cast<int>(g));
  return bytes;
}

void check_batch(const HostBatch& b, const ModelInfo& info, const std::vector<int64_t>& blocks) {
  const size_t tokens = b.ids.size(), sequences = b.query_start.empty() ? 0 : b.query_start.size() - 1;
  check(tokens > 0 && b.positions.size() == tokens && sequences > 0, "batch: as many positions as ids, and a query_start", tokens,
        b.positions.size(), b.query_start.size());
  check(b.query_start.front() == 0 && b.query_start.back() == static_cast<int64_t>(tokens),
        "batch: query_start runs from 0 to the number of tokens", tokens);
  check(b.block_tables.size() == info.groups.size() && blocks.size() == info.groups.size(), "batch: a block table per group of layers",
        b.block_tables.size(), info.groups.size());
  for (int32_t id : b.ids)
    check(id >= 0 && id < info.vocab_size, "batch: token id outside of the vocabulary", id, "vocab_size", info.vocab_size);
  for (int32_t r : b.out_rows) check(r >= 0 && r < static_cast<int64_t>(tokens), "batch: out_rows beyond the tokens", r, tokens);
  for (size_t s = 0; s < sequences; s++) {
    const int32_t begin = b.query_start[s], end = b.query_start[s + 1];
    check(begin < end, "batch: every sequence has at least one token", s);
    check(end <= static_cast<int64_t>(tokens), "batch: query_start runs beyond the tokens", end, tokens);
    for (int32_t t = begin; t < end; t++) {
      const int32_t position = b.positions[static_cast<size_t>(t)];
      check(position >= 0 && position < info.context, "batch: position beyond the context", position, info.context);
      check(t == begin || position == b.positions[static_cast<size_t>(t - 1)] + 1, "batch: positions of a sequence ascend by one",
            position);
    }
    for (size_t g = 0; g < blocks.size(); g++) {
      const size_t width = b.block_tables[g].size() / sequences;
      const int64_t last = b.positions[static_cast<size_t>(end - 1)] / block_tokens;
      check(b.block_tables[g].size() % sequences == 0 && last < static_cast<int64_t>(width),
            "batch: block table too short for the positions", last, width);
      const int64_t first = info.groups[g].oldest_read(b.positions[static_cast<size_t>(begin)]) / block_tokens;
      for (int64_t i = first; i <= last; i++) {
        const int32_t block = b.block_tables[g][s * width + static_cast<size_t>(i)];
        const bool read = i == first && b.positions[static_cast<size_t>(begin)] > 0;  // at position 0 a state is zero
        const bool unwanted = block == -1 && info.groups[g].kind == Retention::Kind::Recurrent && !read && i < last;
        check(unwanted || (block >= 0 && block < blocks[g]), "batch: block beyond the cache", block, blocks[g]);
      }
    }
  }
}

}  // namespace infernum
