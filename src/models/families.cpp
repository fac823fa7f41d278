#include "models/families.h"

#include <algorithm>

#include "core/check.h"
#include "core/nearest.h"

namespace infernum {
const std::vector<const Family*>& families() {
  static const std::vector<const Family*> list{
      &cohere2_family,      //
      &deepseek_v2_family,  //
      &deepseek_v3_family,  //
      &ernie4_5_family,     //
      &gemma2_family,       //
      &gemma3_family,       //
      &gemma4_family,       //
      &glm4_family,         //
      &glm4_moe_family,     //
      &gpt_oss_family,      //
      &granite_family,      //
      &hunyuan_family,      //
      &llama_family,        //
      &llama4_family,       //
      &ministral3_family,   //
      &mistral_family,      //
      &mixtral_family,      //
      &olmo2_family,        //
      &olmo3_family,        //
      &phi3_family,         //
      &qwen2_family,        //
      &qwen2_vl_family,     //
      &qwen3_family,        //
      &qwen3_5_family,      //
      &qwen3_5_moe_family,  //
      &qwen3_moe_family,    //
      &qwen3_next_family,   //
      &qwen3_vl_family,     //
      &seed_oss_family,     //
      &smollm3_family,      //
  };
  return list;
}

const Family& find_family(const ConfigReader& config) {
  const auto names = config.strings("architectures");
  check(!names.empty(), "config.json: `architectures` is missing");
  for (const Family* f : families())
    for (const auto& name : names)
      if (std::find(f->architectures.begin(), f->architectures.end(), name) != f->architectures.end()) return *f;
  // A wrapper around a text model that is a family by itself. Of a plain model the type says nothing about its head.
  const std::string text_model = config.has_text_config() ? config.string("model_type").value_or("") : "";
  for (const Family* f : families())
    if (f->name == text_model || std::find(f->text_models.begin(), f->text_models.end(), text_model) != f->text_models.end()) return *f;
  std::vector<std::string_view> known;
  for (const Family* f : families()) known.insert(known.end(), f->architectures.begin(), f->architectures.end());
  const std::string asked = names.front().substr(0, 100);
  known = infernum::nearest(asked, std::move(known));
  std::string closest;
  for (size_t i = 0; i < std::min<size_t>(3, known.size()); i++) closest += (i ? ", " : "") + std::string(known[i]);
  fail("this architecture is not supported", asked, text_model.empty() ? "" : "around a text model of type " + text_model.substr(0, 100),
       "; nearest supported:", closest);
}

}  // namespace infernum
