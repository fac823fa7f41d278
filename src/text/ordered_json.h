// JSON text of strangers to nlohmann::ordered_json, in time and memory bounded by the length of the text.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace infernum {

/// Deeper nesting is refused: copies and destructors of nested values recurse.
inline constexpr size_t max_ordered_json_depth = 200;

/// The document; of a key that repeats the last value counts, in the first one's place. Unlike ordered_json::parse, whose objects are
/// searched from the front for every key, this takes linear time. Throws Error "<what>: not valid JSON", or that it nests too deeply.
nlohmann::ordered_json parse_ordered_json(std::string_view text, const char* what);

}  // namespace infernum
