// A checkpoint opened for reading: configuration and side files as text, weights by name. Nothing is copied but the small files.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/opening.h"
#include "checkpoint/tensor_source.h"

namespace infernum {

class GgufMetadata;

struct Checkpoint {
  std::string path;                    ///< as given to open_checkpoint()
  std::string config_json;             ///< Hugging Face spelling; made from the metadata for GGUF
  std::string generation_config_json;  ///< empty when the file is absent, as are all below
  std::string tokenizer_json;
  std::string tokenizer_config_json;
  std::string chat_template;
  std::vector<int> eos_token_ids;            ///< ascending union of every place that names one, but for the tokenizer's eos_token string
  std::shared_ptr<const GgufMetadata> gguf;  ///< null for safetensors
  TensorSource tensors;                      ///< names of the text model (strip_wrapper()), GGUF names translated
};

/// A Hugging Face folder, an index, a .safetensors file with config.json beside it, or a .gguf file (of split files, the first).
/// HeadersOnly: weights may be missing, wholly or in part.
Checkpoint open_checkpoint(const std::string& path, Opening opening = Opening::Complete);

}  // namespace infernum
