// The JSON and text files beside the weights of a Hugging Face checkpoint.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace infernum {

struct Checkpoint;

/// Fills every text member of `checkpoint` and the end-of-sequence ids; config.json must exist.
void read_side_files(const std::string& folder, Checkpoint& checkpoint);

/// Adds the ids of `eos_token_id` (number or list) of a config.json, its text_config, or a generation_config.json.
void collect_eos(std::string_view text, const std::string& path, std::vector<int>& ids);
/// Ascending, each once.
void sort_unique(std::vector<int>& ids);

}  // namespace infernum
