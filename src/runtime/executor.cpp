#include "runtime/executor.h"

#include <algorithm>

#include "core/check.h"

namespace infernum {
namespace {

HostBatch make_batch(const ModelInfo& info, std::span<const StepItem> items, std::vector<int64_t>& first_row) {
  HostBatch b;
  b.query_start.push_back(0);
  first_row.push_back(0);
  for (const StepItem& item : items) {
    const auto begin = static_cast<int32_t>(b.ids.size());
    for (size_t i = 0; i < item.tokens.size(); i++) {
      b.ids.push_back(item.tokens[i]);
      b.positions.push_back(static_cast<int32_t>(item.first + static_cast<int64_t>(i)));
      const bool wanted = item.logits == StepItem::Logits::All || (item.logits == StepItem::Logits::Last && i + 1 == item.tokens.size());
      if (wanted) b.out_rows.push_back(begin + static_cast<int32_t>(i));
    }
    b.query_start.push_back(static_cast<int32_t>(b.ids.size()));
    first_row.push_back(static_cast<int64_t>(b.out_rows.size()));
  }
  for (size_t g = 0; g < info.groups.size(); g++) {
    size_t width = 0;
    for (const StepItem& item : items) width = std::max(width, item.cache->table(static_cast<int>(g)).size());
    auto& table = b.block_tables.emplace_back(width * items.size());
    for (size_t s = 0; s < items.size(); s++) {
      const auto& blocks = items[s].cache->table(static_cast<int>(g));
      std::copy(blocks.begin(), blocks.end(), table.begin() + static_cast<std::ptrdiff_t>(s * width));
    }
  }
  return b;
}

}  // namespace

StepLogits run_step(Model& model, std::span<const StepItem> items, const std::function<void(size_t item)>& computed) {
  check(!items.empty(), "step: at least one sequence");
  for (const StepItem& item : items) item.cache->begin_step(item.first, item.first + static_cast<int64_t>(item.tokens.size()));
  StepLogits logits;
  logits.vocab_size = model.info().vocab_size;
  try {
    logits.values = model.forward(make_batch(model.info(), items, logits.first_row));
  } catch (...) {
    for (const StepItem& item : items) item.cache->fail_step();
    throw;
  }
  for (size_t i = 0; computed && i < items.size(); i++) computed(i);
  for (const StepItem& item : items) item.cache->end_step(item.first + static_cast<int64_t>(item.tokens.size()));
  return logits;
}

}  // namespace infernum
