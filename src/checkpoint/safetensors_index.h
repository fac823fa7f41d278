// model.safetensors.index.json: which shard holds which tensor.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "checkpoint/opening.h"
#include "checkpoint/tensor_source.h"

namespace infernum {

/// weight_map: tensor name -> shard, a bare file name ending in .safetensors. `path` is for messages.
std::map<std::string, std::string, std::less<>> parse_safetensors_index(std::string_view json, const std::string& path);

/// Adds the tensors of one file, names stripped of wrapper prefixes.
void add_safetensors(const std::string& path, Opening opening, TensorSource& tensors);
/// Adds the tensors of every shard the index names; shards lie beside the index. With HeadersOnly a shard may be missing.
void add_sharded_safetensors(const std::string& index_path, Opening opening, TensorSource& tensors);

}  // namespace infernum
