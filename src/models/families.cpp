#include "models/families.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"

namespace infernum {
namespace {

/// Levenshtein distance.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); i++) {
    size_t diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); j++) {
      const size_t replaced = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

const std::vector<const Family*>& families() {
  static const std::vector<const Family*> list{&llama_family, &mistral_family, &mixtral_family, &qwen2_family, &qwen3_family, &qwen3_moe_family};
  return list;
}

const Family& find_family(const ConfigReader& config) {
  const auto names = config.strings("architectures");
  check(!names.empty(), "config.json: `architectures` is missing");
  for (const Family* f : families())
    for (const auto& name : names)
      if (std::find(f->architectures.begin(), f->architectures.end(), name) != f->architectures.end()) return *f;
  std::vector<std::string_view> known;
  for (const Family* f : families()) known.insert(known.end(), f->architectures.begin(), f->architectures.end());
  const std::string asked = names.front().substr(0, 100);
  std::stable_sort(known.begin(), known.end(), [&](auto a, auto b) { return distance(a, asked) < distance(b, asked); });
  std::string nearest;
  for (size_t i = 0; i < std::min<size_t>(3, known.size()); i++) nearest += (i ? ", " : "") + std::string(known[i]);
  fail("this architecture is not supported", asked, "; nearest supported:", nearest);
}

}  // namespace infernum
