#include "checkpoint/gguf_metadata.h"

#include <cmath>
#include <cstring>

#include "checkpoint/text_file.h"
#include "core/check.h"

namespace infernum {
namespace {

constexpr struct {
  std::string_view name;
  int bytes;
} types[] = {{"UINT8", 1}, {"INT8", 1},   {"UINT16", 2}, {"INT16", 2},  {"UINT32", 4}, {"INT32", 4},  {"FLOAT32", 4},
             {"BOOL", 1},  {"STRING", 0}, {"ARRAY", 0},  {"UINT64", 8}, {"INT64", 8},  {"FLOAT64", 8}};

template <class T>
T read_at(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

/// An integer element; false when it is of another kind or does not fit.
bool read_int(GgufType type, const std::byte* bytes, int64_t& value) {
  switch (type) {
    case GgufType::U8: value = read_at<uint8_t>(bytes); return true;
    case GgufType::I8: value = read_at<int8_t>(bytes); return true;  // NOLINT(bugprone-signed-char-misuse): a number
    case GgufType::U16: value = read_at<uint16_t>(bytes); return true;
    case GgufType::I16: value = read_at<int16_t>(bytes); return true;
    case GgufType::U32: value = read_at<uint32_t>(bytes); return true;
    case GgufType::I32: value = read_at<int32_t>(bytes); return true;
    case GgufType::I64: value = read_at<int64_t>(bytes); return true;
    case GgufType::U64: value = read_at<int64_t>(bytes); return value >= 0;
    default: return false;
  }
}

std::string describe_kind(const GgufValue& value) {
  if (const auto* array = std::get_if<GgufArray>(&value))
    return "ARRAY of " + std::to_string(array->count) + " " + std::string(name_of(array->type));
  constexpr std::string_view kinds[] = {"an integer", "an integer", "FLOAT32", "FLOAT64", "BOOL", "STRING"};
  return std::string(kinds[value.index()]);
}

}  // namespace

int size_of(GgufType type) { return types[static_cast<size_t>(type)].bytes; }
std::string_view name_of(GgufType type) { return types[static_cast<size_t>(type)].name; }

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto place = values_.find(key);
  return place == values_.end() ? nullptr : &place->second;
}

void GgufMetadata::wrong_kind(std::string_view key, std::string_view wanted, const GgufValue& value) const {
  fail("gguf: metadata key holds another kind of value", printable(key), "should be", wanted, "is", describe_kind(value), "in", path_);
}

void GgufMetadata::missing(std::string_view key) const { fail("gguf: metadata key is missing", printable(key), "in", path_); }

const GgufArray* GgufMetadata::find_array(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return nullptr;
  const auto* array = std::get_if<GgufArray>(value);
  if (!array) wrong_kind(key, "an array", *value);
  return array;
}

std::optional<int64_t> GgufMetadata::find_int(std::string_view key, int64_t low, int64_t high) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  int64_t number = 0;
  if (const auto* u = std::get_if<uint64_t>(value)) {
    if (*u > static_cast<uint64_t>(highest)) fail("gguf: metadata value exceeds 63 bits", printable(key), *u, "in", path_);
    number = static_cast<int64_t>(*u);
  } else if (const auto* i = std::get_if<int64_t>(value)) {
    number = *i;
  } else {
    wrong_kind(key, "an integer", *value);
  }
  if (number < low || number > high)
    fail("gguf: metadata value is out of range", printable(key), number, "not in", low, "to", high, "in", path_);
  return number;
}

int64_t GgufMetadata::require_int(std::string_view key, int64_t low, int64_t high) const {
  const auto value = find_int(key, low, high);
  return value ? *value : (missing(key), 0);
}

std::optional<double> GgufMetadata::find_float(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  double number = 0;
  if (const auto* f = std::get_if<float>(value))
    number = *f;
  else if (const auto* d = std::get_if<double>(value))
    number = *d;
  else if (const auto* u = std::get_if<uint64_t>(value))
    number = static_cast<double>(*u);
  else if (const auto* i = std::get_if<int64_t>(value))
    number = static_cast<double>(*i);
  else
    wrong_kind(key, "a number", *value);
  if (!std::isfinite(number)) fail("gguf: metadata value is not finite", printable(key), number, "in", path_);
  return number;
}

double GgufMetadata::require_float(std::string_view key) const {
  const auto value = find_float(key);
  return value ? *value : (missing(key), 0.0);
}

std::optional<bool> GgufMetadata::find_bool(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  const bool* flag = std::get_if<bool>(value);
  if (!flag) wrong_kind(key, "BOOL", *value);
  return *flag;
}

std::optional<std::string_view> GgufMetadata::find_string(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  const auto* text = std::get_if<std::string_view>(value);
  if (!text) wrong_kind(key, "STRING", *value);
  return *text;
}

std::string_view GgufMetadata::require_string(std::string_view key) const {
  const auto value = find_string(key);
  return value ? *value : (missing(key), std::string_view());
}

std::optional<std::vector<int64_t>> GgufMetadata::find_ints(std::string_view key) const {
  const GgufArray* array = find_array(key);
  if (!array) return std::nullopt;
  if (size_of(array->type) == 0) wrong_kind(key, "an array of integers", *array);
  std::vector<int64_t> numbers(static_cast<size_t>(array->count));
  for (size_t i = 0; i < numbers.size(); i++)
    if (!read_int(array->type, array->bytes.data() + i * static_cast<size_t>(size_of(array->type)), numbers[i]))
      wrong_kind(key, "an array of integers below 2^63", *array);
  return numbers;
}

std::optional<std::vector<float>> GgufMetadata::find_floats(std::string_view key) const {
  const GgufArray* array = find_array(key);
  if (!array) return std::nullopt;
  std::vector<float> numbers(static_cast<size_t>(array->count));
  if (array->type == GgufType::F32) {
    if (!numbers.empty()) std::memcpy(numbers.data(), array->bytes.data(), array->bytes.size());
  } else if (array->type == GgufType::F64) {
    for (size_t i = 0; i < numbers.size(); i++) numbers[i] = static_cast<float>(read_at<double>(array->bytes.data() + 8 * i));
  } else {
    wrong_kind(key, "an array of floats", *array);
  }
  return numbers;
}

std::optional<std::vector<bool>> GgufMetadata::find_bools(std::string_view key) const {
  const GgufArray* array = find_array(key);
  if (!array) return std::nullopt;
  if (array->type != GgufType::Bool) wrong_kind(key, "an array of BOOL", *array);
  std::vector<bool> flags;
  flags.reserve(array->bytes.size());
  for (std::byte b : array->bytes) flags.push_back(b != std::byte{0});
  return flags;
}

std::optional<std::vector<std::string_view>> GgufMetadata::find_strings(std::string_view key) const {
  const GgufArray* array = find_array(key);
  if (!array) return std::nullopt;
  if (array->type != GgufType::String) wrong_kind(key, "an array of STRING", *array);
  std::vector<std::string_view> strings(static_cast<size_t>(array->count));
  const std::byte* position = array->bytes.data();
  for (std::string_view& text : strings) {
    const auto length = static_cast<size_t>(read_at<uint64_t>(position));
    text = {reinterpret_cast<const char*>(position) + 8, length};
    position += 8 + length;
  }
  return strings;
}

std::vector<std::string_view> GgufMetadata::require_strings(std::string_view key) const {
  auto strings = find_strings(key);
  if (!strings) missing(key);
  return *std::move(strings);
}

std::optional<std::span<const std::byte>> GgufMetadata::find_bytes(std::string_view key) const {
  const GgufArray* array = find_array(key);
  if (!array) return std::nullopt;
  if (array->type != GgufType::U8 && array->type != GgufType::I8) wrong_kind(key, "an array of UINT8", *array);
  return array->bytes;
}

int64_t GgufMetadata::array_size(std::string_view key) const {
  const GgufArray* array = find_array(key);
  return array ? array->count : -1;
}

std::optional<std::vector<int64_t>> GgufMetadata::find_per_layer(std::string_view key, int64_t layers, int64_t low, int64_t high) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (!std::holds_alternative<GgufArray>(*value)) return std::vector<int64_t>(static_cast<size_t>(layers), *find_int(key, low, high));
  if (array_size(key) != layers)
    fail("gguf: per-layer metadata needs one value for each layer", printable(key), array_size(key), layers, "in", path_);
  auto numbers = find_ints(key);
  for (int64_t number : *numbers)
    if (number < low || number > high)
      fail("gguf: metadata value is out of range", printable(key), number, "not in", low, "to", high, "in", path_);
  return numbers;
}

}  // namespace infernum
