// Which known name was probably meant.
#pragma once
#include <string_view>
#include <vector>

namespace infernum {

/// `known` by rising edit distance from `given`; equals keep their order.
std::vector<std::string_view> nearest(std::string_view given, std::vector<std::string_view> known);

/// Levenshtein distance.
size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace infernum
