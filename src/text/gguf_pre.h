// tokenizer.ggml.pre: the regexes and flags behind a name.
#pragma once
#include <string_view>
#include <vector>

namespace infernum::text {

struct GgufPre {
  std::vector<std::string_view> regexes;  // applied in turn, matches isolated
  bool ignore_merges = false;
  bool add_bos = false;
};

/// "" is the default with a warning; an unknown name is refused.
GgufPre gguf_pre(std::string_view name);

}  // namespace infernum::text
