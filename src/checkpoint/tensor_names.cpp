#include "checkpoint/tensor_names.h"

#include <charconv>

namespace infernum {

std::string strip_wrapper(std::string_view name) {
  constexpr std::string_view wrappers[][2] = {
      {"language_model.model.", "model."}, {"model.language_model.", "model."}, {"language_model.lm_head.", "lm_head."}};
  for (const auto& [wrapped, plain] : wrappers)
    if (name.starts_with(wrapped)) return std::string(plain).append(name.substr(wrapped.size()));
  return std::string(name);
}

int layer_index(std::string_view name) {
  constexpr std::string_view layers = "model.layers.";
  if (!name.starts_with(layers)) return -1;
  int index = -1;
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + layers.size(), end, index);
  return error == std::errc() && index >= 0 && rest != end && *rest == '.' ? index : -1;
}

std::string_view foreign_part(std::string_view name) {
  constexpr std::string_view foreign[] = {"model.visual.",
                                          "visual.",
                                          "vision_tower.",
                                          "model.vision_tower.",
                                          "vision_model.",
                                          "model.vision_model.",
                                          "multi_modal_projector.",
                                          "model.multi_modal_projector.",
                                          "audio_tower.",
                                          "model.audio_tower.",
                                          "model.embed_vision.",
                                          "embed_vision.",
                                          "model.embed_audio.",
                                          "embed_audio.",
                                          "connector.",
                                          "model.connector.",
                                          "mtp.",
                                          "model.mtp."};
  for (std::string_view prefix : foreign)
    if (name.starts_with(prefix)) return prefix.substr(0, prefix.size() - 1);
  return {};
}

bool ignorable(std::string_view name, int num_hidden_layers) {
  if (!foreign_part(name).empty()) return true;
  if (name.ends_with(".rotary_emb.inv_freq")) return true;
  return layer_index(name) >= num_hidden_layers;
}

}  // namespace infernum
