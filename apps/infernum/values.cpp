#include "values.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <optional>

#include "checkpoint/convert.h"
#include "core/check.h"
#include "core/nearest.h"

namespace infernum::app {
namespace {

/// "8k", "64GiB", "-3"; nothing when it is no such number or does not fit.
std::optional<int64_t> parse_whole(const std::string& text) {
  int64_t value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return {};
  std::string unit(rest, text.data() + text.size());
  std::transform(unit.begin(), unit.end(), unit.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (unit.empty()) return value;
  const size_t power = std::string("kmgt").find(unit[0]);
  if (power == std::string::npos || (unit.size() > 1 && unit.substr(1) != "b" && unit.substr(1) != "i" && unit.substr(1) != "ib"))
    return {};
  if (__builtin_mul_overflow(value, int64_t{1} << 10 * (power + 1), &value)) return {};
  return value;
}

}  // namespace

CLI::Validator whole(int64_t low, int64_t high) {
  const std::string range = high == INT64_MAX ? std::to_string(low) + " or more" : std::to_string(low) + " to " + std::to_string(high);
  return CLI::Validator(
      [=](std::string& text) {
        const auto value = parse_whole(text);
        if (!value || *value < low || *value > high) return "takes a whole number, " + range + " (8k and 4M are understood), not " + text;
        text = std::to_string(*value);
        return std::string();
      },
      range);
}

CLI::Validator between(double low, double high, bool above) {
  const std::string range = (above ? "above " : "") + describe(low) + (above ? " up to " : " to ") + describe(high);
  return CLI::Validator(
      [=](std::string& text) {
        char* end = nullptr;
        const double value = std::strtod(text.c_str(), &end);
        const bool inside = !text.empty() && *end == '\0' && value <= high && (above ? value > low : value >= low);  // false for NaN
        return inside ? std::string() : "takes a number, " + range + ", not " + text;
      },
      range);
}

CLI::Validator one_of(std::vector<std::string> names) {
  std::string list;
  for (size_t i = 0; i < names.size(); i++) list += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + names[i];
  return CLI::Validator(
      [=](std::string& text) {
        const bool known = std::find(names.begin(), names.end(), text) != names.end();
        return known ? std::string() : "takes " + list + ", not " + text;
      },
      "");
}

CLI::Validator gguf_type(bool mixtures) {
  return CLI::Validator(
      [=](std::string& text) {
        try {
          if (mixtures) {
            Conversion unused;
            set_target(unused, text);
          } else {
            parse_gguf_type(text);
          }
        } catch (const Error& e) {
          return std::string(e.what());
        }
        return std::string();
      },
      "");
}

std::string nearest(const std::string& given, const std::vector<std::string>& known) {
  std::string best;
  size_t least = std::max<size_t>(2, given.size() / 3) + 1;
  for (const auto& name : known)
    if (const size_t d = edit_distance(given, name); d < least) least = d, best = name;
  return best;
}

}  // namespace infernum::app
