// What a tensor's name says by itself: wrapper prefixes to strip, tensors no text model reads.
#pragma once
#include <string>
#include <string_view>

namespace infernum {

/// The name inside the text model: `language_model.model.` and `model.language_model.` become `model.`, `language_model.lm_head.`
/// becomes `lm_head.`; other names stay.
std::string strip_wrapper(std::string_view name);

/// The part beside the text model that a tensor belongs to: the beginning of its name up to a dot, as in `vision_tower`. Empty for the text
/// model's. Takes stripped names.
std::string_view foreign_part(std::string_view name);

/// True for tensors that a text model leaves unread on purpose: vision and audio towers, projectors, stored rotary tables,
/// multi-token-prediction heads and layers with an index >= num_hidden_layers. Takes stripped names.
bool ignorable(std::string_view name, int num_hidden_layers);

/// N of `model.layers.N.`; -1 when the name has another form.
int layer_index(std::string_view name);

}  // namespace infernum
