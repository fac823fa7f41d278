#include "checkpoint/checkpoint.h"

#include <filesystem>

#include "checkpoint/safetensors_index.h"
#include "checkpoint/side_files.h"
#include "checkpoint/text_file.h"
#include "core/check.h"
#include "core/log.h"

namespace infernum {
namespace {

namespace fs = std::filesystem;

constexpr const char* single_name = "model.safetensors";
constexpr const char* index_name = "model.safetensors.index.json";

/// What a folder without weights that we read holds instead, for the error.
std::string other_weights(const fs::path& folder) {
  std::string found;
  int listed = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string(), kind = entry.path().extension().string();
    if (kind != ".gguf" && kind != ".safetensors" && kind != ".bin" && kind != ".pt" && kind != ".pth") continue;
    if (listed++ < 4) found += (found.empty() ? "" : ", ") + name;
  }
  return found.empty() ? "no weight files" : "found " + found + (listed > 4 ? ", ..." : "");
}

void add_folder_weights(const fs::path& folder, Opening opening, TensorSource& tensors) {
  const std::string single = (folder / single_name).string(), index = (folder / index_name).string();
  if (fs::exists(single)) {
    if (fs::exists(index)) log_warning(single + " is used, " + index_name + " beside it is not");
    add_safetensors(single, opening, tensors);
  } else if (fs::exists(index)) {
    add_sharded_safetensors(index, opening, tensors);
  } else if (opening == Opening::Complete) {
    fail("checkpoint: the folder has neither model.safetensors nor model.safetensors.index.json (a .gguf file is opened by its own path)",
         folder.string(), other_weights(folder));
  }
}

Checkpoint open_hugging_face(const std::string& path, Opening opening) {
  Checkpoint checkpoint;
  const fs::path given(path);
  const bool is_folder = fs::is_directory(given), is_index = given.filename().string().ends_with(".safetensors.index.json");
  const fs::path folder = is_folder ? given : given.has_parent_path() ? given.parent_path() : fs::path(".");
  read_side_files(folder.string(), checkpoint);
  if (is_folder)
    add_folder_weights(folder, opening, checkpoint.tensors);
  else if (is_index)
    add_sharded_safetensors(path, opening, checkpoint.tensors);
  else
    add_safetensors(path, opening, checkpoint.tensors);
  return checkpoint;
}

}  // namespace

Checkpoint open_checkpoint(const std::string& path, Opening opening) {
  check(fs::exists(path), "checkpoint: no such file or folder", path);
  const std::string name = fs::path(path).filename().string();
  const bool known = fs::is_directory(path) || name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
  check(known, "checkpoint: expected a folder, a .safetensors file or a .gguf file", path);
  Checkpoint checkpoint = open_hugging_face(path, opening);
  checkpoint.path = path;
  return checkpoint;
}

}  // namespace infernum
