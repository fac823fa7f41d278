// tokenizer.json: its normalizer, pre-tokenizer, post-processor and decoder sections.
#pragma once
#include <optional>
#include <vector>

#include "text/json_reader.h"
#include "text/tokenizer_parts.h"

namespace infernum::text {

std::vector<NormalizerStep> load_normalizer(const Json& json);
std::vector<PreTokenizerStep> load_pre_tokenizer(const Json& json);
std::vector<DecoderStep> load_decoder(const Json& json);
std::vector<Template> load_post_processor(const Json& json, const TokenizerParts& parts);

/// The "type" of a component.
std::string_view component_type(const Json& json);

}  // namespace infernum::text
