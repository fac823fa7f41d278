// Tensor names of GGUF files in Hugging Face spelling and back; one table, with rows for the families that differ.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace infernum {

/// `model_type` as in config.json ("llama", "mixtral", ...). Nothing for names the family has no place for.
/// Stacked experts stay one tensor (E, out, in): `blk.N.ffn_up_exps.weight` <-> `model.layers.N.mlp.experts.up_proj.weight`, for mixtral
/// `model.layers.N.block_sparse_moe.experts.w3.weight`; per-expert names of old files map to the usual names of one expert.
std::optional<std::string> hugging_face_name(std::string_view gguf_name, std::string_view model_type);
std::optional<std::string> gguf_name(std::string_view hugging_face_name, std::string_view model_type);

}  // namespace infernum
