#include "checkpoint/checkpoint.h"

#include <filesystem>
#include <fstream>

#include "checkpoint/gguf.h"
#include "checkpoint/gguf_config.h"
#include "checkpoint/gguf_tensors.h"
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

/// A shard by itself lacks most of the model.
void refuse_lone_shard(const fs::path& file, const fs::path& folder) {
  const fs::path index = folder / index_name;
  if (file.filename() == single_name || !fs::exists(index)) return;
  for (const auto& [name, shard] : parse_safetensors_index(read_text_file(index.string()), index.string()))
    check(shard != file.filename().string(), "checkpoint: the file is a shard of an index, open the folder instead", file.string());
}

Checkpoint open_hugging_face(const std::string& path, Opening opening) {
  Checkpoint checkpoint;
  const fs::path given(path);
  const bool is_folder = fs::is_directory(given), is_index = given.filename().string().ends_with(".safetensors.index.json");
  const fs::path folder = is_folder ? given : given.has_parent_path() ? given.parent_path() : fs::path(".");
  read_side_files(folder.string(), checkpoint);
  if (is_folder) {
    add_folder_weights(folder, opening, checkpoint.tensors);
  } else if (is_index) {
    add_sharded_safetensors(path, opening, checkpoint.tensors);
  } else {
    refuse_lone_shard(given, folder);
    add_safetensors(path, opening, checkpoint.tensors);
  }
  return checkpoint;
}

/// By its first bytes, since stores that name files by hash drop the extension.
bool is_gguf(const std::string& path) {
  if (!fs::is_regular_file(path)) return false;
  char magic[4] = {};
  std::ifstream(path, std::ios::binary).read(magic, 4);
  return std::string_view(magic, 4) == "GGUF";
}

Checkpoint open_gguf_checkpoint(const std::string& path, Opening opening) {
  Gguf gguf = open_gguf(path, opening);
  const GgufMetadata& metadata = *gguf.metadata;
  const std::string_view type = metadata.find_string("general.type").value_or("model");
  check(type == "model", "gguf: the file holds no model but", printable(type), path);
  const int64_t blocks = metadata.find_int("general.quantization_version").value_or(2);
  check(blocks == 2, "gguf: general.quantization_version 2 is the only one supported, not", blocks, "in", path);

  GgufConfig config = make_gguf_config(gguf);
  Checkpoint checkpoint;
  checkpoint.config_json = std::move(config.json);
  checkpoint.eos_token_ids = std::move(config.eos_token_ids);
  checkpoint.tokenizer_json = metadata.find_string("tokenizer.huggingface.json").value_or("");
  checkpoint.chat_template = metadata.find_string("tokenizer.chat_template").value_or("");
  add_gguf_tensors(std::move(gguf.tensors), config, checkpoint.tensors);
  checkpoint.gguf = std::move(gguf.metadata);
  return checkpoint;
}

}  // namespace

Checkpoint open_checkpoint(const std::string& path, Opening opening) {
  check(fs::exists(path), "checkpoint: no such file or folder", path);
  const std::string name = fs::path(path).filename().string();
  if (name.ends_with(".gguf") || is_gguf(path)) {
    Checkpoint checkpoint = open_gguf_checkpoint(path, opening);
    checkpoint.path = path;
    return checkpoint;
  }
  const bool known = fs::is_directory(path) || name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
  check(known, "checkpoint: expected a folder, a .safetensors file or a .gguf file", path);
  Checkpoint checkpoint = open_hugging_face(path, opening);
  checkpoint.path = path;
  return checkpoint;
}

}  // namespace infernum
