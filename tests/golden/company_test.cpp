// A sequence's logits in float32 are the same bits whatever surrounds it: whole or in chunks, alone or in a step with others, first or last
// of them, on any number of threads.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <set>

#include "backends/cpu/isa.h"
#include "models/families.h"
#include "support/golden.h"
#include "support/run_model.h"

namespace infernum {
namespace {

using test::Golden;
using Ids = std::vector<int32_t>;
using Logits = std::vector<float>;

struct Setting {
  std::string folder, isa;
};
std::ostream& operator<<(std::ostream& out, const Setting& s) { return out << s.folder << " " << s.isa; }

class Company : public testing::TestWithParam<Setting> {
 protected:
  std::unique_ptr<Model> load(int threads) const {
    ModelOptions options;
    options.threads = threads;
    options.isa = GetParam().isa;
    options.max_model_len = 256;  // some frequencies depend on it
    return load_model(open_checkpoint(test::data("models/" + GetParam().folder)), options);
  }
  const Golden golden{test::data("models/" + GetParam().folder + "/golden.safetensors")};
  const Ids ids = golden.ids("prompt3.ids");
  const int64_t length = static_cast<int64_t>(ids.size());
};

bool same_bits(const Logits& a, const Logits& b) { return a.size() == b.size() && std::memcmp(a.data(), b.data(), 4 * a.size()) == 0; }

/// Logits of `ids`, taken in unequal chunks, while two other sequences start before and after and advance by a few tokens each step.
Logits among_others(Model& model, const Ids& ids, const Ids& left, const Ids& right) {
  const std::vector<const Ids*> all{&left, &ids, &right};
  CachePools pools(model, 3 * static_cast<int64_t>(ids.size()), 3);
  std::vector<SequenceCache> caches;
  for (size_t s = 0; s < all.size(); s++) caches.emplace_back(pools);
  std::vector<int64_t> done(all.size(), 0);
  Logits logits;
  for (int64_t step = 0; done[1] < static_cast<int64_t>(ids.size()); step++) {
    const int64_t wanted[] = {step % 3 == 0 ? 3 : 1, std::vector<int64_t>{5, 1, 17, 2, 70}[static_cast<size_t>(step % 5)],
                              step < 2 ? 0 : 1 + step % 2 * 8};
    std::vector<StepItem> items;
    size_t mine = 0;
    for (size_t i = 0; i < all.size(); i++) {
      const size_t s = step % 2 ? all.size() - 1 - i : i;
      const int64_t n = std::min(wanted[s], static_cast<int64_t>(all[s]->size()) - done[s]);
      if (n == 0) continue;
      check(caches[s].reserve(done[s] + n), "test: cache too small");
      if (s == 1) mine = items.size();
      items.push_back(
          {&caches[s], std::span(*all[s]).subspan(static_cast<size_t>(done[s]), static_cast<size_t>(n)), done[s], StepItem::Logits::All});
      done[s] += n;
    }
    const StepLogits out = run_step(model, items);
    const auto row = [&](size_t item) { return out.values.begin() + static_cast<std::ptrdiff_t>(out.first_row[item] * out.vocab_size); };
    logits.insert(logits.end(), row(mine), row(mine + 1));
  }
  return logits;
}

TEST_P(Company, LogitsAreTheSameBits) {
  const Ids left = golden.ids("prompt1.ids"), right = golden.ids("prompt2.ids");
  Logits alone;
  // Threads share work alike on every instruction set: once is enough.
  const bool best = GetParam().isa == describe(best_isa());
  for (int threads : best ? std::vector{1, 2, 3} : std::vector{2}) {
    const auto model = load(threads);
    const Logits whole = test::SingleSequence(*model, length).append(ids);
    if (alone.empty()) alone = whole;
    EXPECT_TRUE(same_bits(whole, alone)) << threads << " threads";
    for (int64_t chunk : {1, 3, 7, 16, 65})
      EXPECT_TRUE(same_bits(test::SingleSequence(*model, length).append(ids, chunk), alone))
          << chunk << " at a time, " << threads << " threads";
    EXPECT_TRUE(same_bits(among_others(*model, ids, left, right), alone)) << "among others, " << threads << " threads";
  }
}

std::vector<Setting> settings() {
  std::set<std::string> folders;
  for (const auto& entry : std::filesystem::directory_iterator(test::data("models")))
    if (std::filesystem::exists(entry.path() / "golden.safetensors")) folders.insert(entry.path().filename());
  std::vector<Setting> list;
  for (const std::string& folder : folders)
    for (Isa isa : {Isa::Portable, Isa::Avx2, Isa::Avx512})
      if (isa <= best_isa()) list.push_back({folder, describe(isa)});
  return list;
}

INSTANTIATE_TEST_SUITE_P(All, Company, testing::ValuesIn(settings()), [](const auto& setting) {
  std::string name = setting.param.folder + "_" + setting.param.isa;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace infernum
