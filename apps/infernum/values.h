// What a flag's value may be, in words that name the range; and the known name closest to a misspelt one.
#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace infernum::app {

/// A whole number from low to high; "8k" = 8192, "64GiB": binary multiples. Replaces the text by the plain number.
CLI::Validator whole(int64_t low, int64_t high);

/// A number from low to high, without low itself if `above`.
CLI::Validator between(double low, double high, bool above = false);

CLI::Validator one_of(std::vector<std::string> names);

/// A type that quantize() can write; with `mixtures` also q4_k_m and the like.
CLI::Validator gguf_type(bool mixtures);

/// The known name closest to `given`, or "" when none is close.
std::string nearest(const std::string& given, const std::vector<std::string>& known);

}  // namespace infernum::app
