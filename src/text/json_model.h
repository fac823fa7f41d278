// tokenizer.json: its model section.
#pragma once
#include <string_view>

#include "text/json_reader.h"
#include "text/tokenizer_parts.h"

namespace infernum::text {

/// "type", or what the section looks like in files from before it was written.
std::string_view model_type(const Json& model);
/// Puts the vocabulary into parts.tokens and parts.ids.
void load_vocabulary(const Json& model, TokenizerParts& parts);
/// Builds parts.model. Added tokens must be there already: special ones are not matched by a model.
void load_model(const Json& model, bool byte_level, TokenizerParts& parts);

}  // namespace infernum::text
