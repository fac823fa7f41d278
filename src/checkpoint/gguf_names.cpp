#include "checkpoint/gguf_names.h"

#include <algorithm>
#include <charconv>

namespace infernum {
namespace {

bool is_number(std::string_view text) {
  return !text.empty() && text.size() < 6 && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// What the variable parts of a pattern stand for.
struct Parts {
  std::string_view layer, expert, kind;
};

std::string_view next_part(std::string_view& rest) {
  const size_t dot = std::min(rest.find('.'), rest.size());
  const std::string_view part = rest.substr(0, dot);
  rest.remove_prefix(std::min(dot + 1, rest.size()));
  return part;
}

std::optional<Parts> match(std::string_view pattern, std::string_view name) {
  Parts parts;
  while (!pattern.empty() && !name.empty()) {
    const std::string_view wanted = next_part(pattern), part = next_part(name);
    if (wanted == "N" || wanted == "E") {
      if (!is_number(part)) return std::nullopt;
      (wanted == "N" ? parts.layer : parts.expert) = part;
    } else if (wanted == "*") {
      if (part != "weight" && part != "bias") return std::nullopt;
      parts.kind = part;
    } else if (wanted != part) {
      return std::nullopt;
    }
  }
  return pattern.empty() && name.empty() ? std::optional(parts) : std::nullopt;
}

std::string fill(std::string_view pattern, const Parts& parts) {
  std::string name;
  while (!pattern.empty()) {
    const std::string_view part = next_part(pattern);
    name += (name.empty() ? "" : ".");
    name += part == "N" ? parts.layer : part == "E" ? parts.expert : part == "*" ? parts.kind : part;
  }
  return name;
}

int64_t number(std::string_view digits) {
  int64_t value = -1;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

}  // namespace

std::optional<GgufName> hugging_face_name(std::string_view name, const GgufFamily& family) {
  for (const auto& rows : family.tensors)
    for (const GgufTensor& row : rows) {
      if (row.use == GgufUse::WriteOnly) continue;
      if (const auto parts = match(row.gguf, name))
        return GgufName{&row, fill(row.hugging_face, *parts), number(parts->layer), number(parts->expert)};
    }
  return std::nullopt;
}

std::vector<GgufName> gguf_names(std::string_view name, const GgufFamily& family) {
  std::vector<GgufName> found;
  for (const auto& rows : family.tensors)
    for (const GgufTensor& row : rows) {
      if (row.use == GgufUse::ReadOnly) continue;
      const auto parts = match(row.hugging_face, name);
      if (!parts) continue;
      GgufName candidate{&row, fill(row.gguf, *parts), number(parts->layer), number(parts->expert)};
      const bool known = std::any_of(found.begin(), found.end(), [&](const GgufName& f) { return f.name == candidate.name; });
      if (!known) found.push_back(std::move(candidate));
    }
  return found;
}

int64_t gguf_layer(std::string_view name) {
  if (!name.starts_with("blk.")) return -1;
  name.remove_prefix(4);
  const std::string_view layer = next_part(name);
  return is_number(layer) ? number(layer) : -1;
}

}  // namespace infernum
