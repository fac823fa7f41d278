// A tokenizer as GGUF metadata describes it (tokenizer.ggml.*); the GGUF reader fills this in.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace infernum {

/// Kinds of tokenizer.ggml.token_type.
enum class GgufTokenType : int32_t { Undefined, Normal, Unknown, Control, UserDefined, Unused, Byte };

/// Field names are the keys' last parts. Absent keys stay empty; the defaults of each model are applied on loading.
struct GgufVocab {
  std::string model;  // tokenizer.ggml.model
  std::string pre;    // tokenizer.ggml.pre
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<int32_t> token_type;
  std::vector<std::string> merges;
  std::string precompiled_charsmap;

  std::optional<int32_t> bos_token_id, eos_token_id, unknown_token_id, seperator_token_id, padding_token_id, cls_token_id, mask_token_id,
      eot_token_id, eom_token_id, fim_pad_token_id, fim_rep_token_id, fim_sep_token_id;
  std::optional<bool> add_bos_token, add_eos_token, add_sep_token, add_space_prefix, remove_extra_whitespaces;
  bool strip_right = false;      // added tokens swallow the space behind them: added_tokens_strip_right() of general.name
  std::string huggingface_json;  // tokenizer.huggingface.json: a whole tokenizer.json, preferred where present
};

}  // namespace infernum
