#include "core/nearest.h"

#include <algorithm>
#include <numeric>

namespace infernum {

size_t edit_distance(std::string_view a, std::string_view b) {
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

std::vector<std::string_view> nearest(std::string_view given, std::vector<std::string_view> known) {
  std::stable_sort(known.begin(), known.end(), [&](auto a, auto b) { return edit_distance(a, given) < edit_distance(b, given); });
  return known;
}

}  // namespace infernum
