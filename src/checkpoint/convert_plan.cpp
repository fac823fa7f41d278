// From the tensors of a Hugging Face checkpoint to those of a GGUF file.
#include "checkpoint/convert_plan.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "checkpoint/config_view.h"
#include "checkpoint/convert_order.h"
#include "checkpoint/gguf_names.h"
#include "checkpoint/tensor_names.h"
#include "core/check.h"

namespace infernum {
namespace {

struct ByLayer {
  bool operator()(const std::string& a, const std::string& b) const {
    return std::pair(gguf_layer(a), std::string_view(a)) < std::pair(gguf_layer(b), std::string_view(b));
  }
};

/// A tensor of the file and the tensors it is made of, one but for experts.
struct Planned {
  const GgufTensor* row = nullptr;
  std::vector<const StoredTensor*> parts;
};
using Plan = std::map<std::string, Planned, ByLayer>;

void add(const StoredTensor& tensor, const GgufName& place, int64_t experts, Plan& plan) {
  size_t index = 0, count = 1;
  if (place.row->order == GgufOrder::Experts) {
    check(place.expert < experts, "the expert of a tensor is beyond the number of experts", tensor.name, experts);
    index = static_cast<size_t>(place.expert);
    count = static_cast<size_t>(experts);
  }
  Planned& planned = plan[place.name];
  check(!planned.row || planned.row == place.row, "two tensors for one place", tensor.name, place.name);
  planned.row = place.row;
  planned.parts.resize(count);
  check(planned.parts[index] == nullptr, "two tensors for one place", tensor.name, place.name);
  planned.parts[index] = &tensor;
}

/// True for tensors that a text model leaves unread, and those that are read together with another one.
bool skipped(const StoredTensor& tensor, const ConfigView& config, bool tied) {
  if (ignorable(tensor.name, static_cast<int>(config.layers())) || tensor.name.ends_with("_proj_scales")) return true;
  return tied && tensor.name == "lm_head.weight";
}

Plan collect(const TensorSource& source, const ConfigView& config, const GgufFamily& family, bool tied) {
  Plan plan;
  for (const StoredTensor& tensor : source) {
    if (skipped(tensor, config, tied)) continue;
    const std::vector<GgufName> places = gguf_names(tensor.name, family);
    if (places.empty()) fail("the tensor has no place in a GGUF file of the family", family.model_type, tensor.name);
    for (const GgufName& place : places) {
      check(place.layer < config.layers(), "the layer of a tensor is beyond num_hidden_layers", tensor.name, config.layers());
      add(tensor, place, config.experts(), plan);
    }
  }
  return plan;
}

void require_all(const Plan& plan, const GgufFamily& family, int64_t layers, bool tied) {
  const auto require = [&](const std::string& name) { check(plan.count(name) == 1, "the checkpoint lacks the tensor for", name); };
  const auto in_layer = [](int64_t layer, std::string_view pattern) {
    return "blk." + std::to_string(layer) + std::string(pattern.substr(std::string_view("blk.N").size()));
  };
  require("token_embd.weight");
  require("output_norm.weight");
  if (!tied) require("output.weight");
  for (int64_t i = 0; i < layers; ++i) {
    for (const auto& rows : family.tensors)
      for (const GgufTensor& row : rows)
        if (row.use == GgufUse::EveryLayer) require(in_layer(i, row.gguf));
    if (plan.count(in_layer(i, "blk.N.ffn_gate_inp.weight")) == 0) {
      require(in_layer(i, "blk.N.ffn_up.weight"));
      require(in_layer(i, "blk.N.ffn_down.weight"));
    } else if (plan.count(in_layer(i, "blk.N.ffn_gate_up_exps.weight")) == 0) {
      for (const char* name : {"blk.N.ffn_gate_exps.weight", "blk.N.ffn_up_exps.weight", "blk.N.ffn_down_exps.weight"})
        require(in_layer(i, name));
    }
  }
}

}  // namespace

const GgufFamily& writable_family(const std::string& model_type) {
  if (const GgufFamily* family = find_gguf_family(model_type)) return *family;
  std::string known;
  for (const GgufFamily& family : gguf_families()) known.append(known.empty() ? "" : ", ").append(family.model_type);
  fail("this family cannot be written as GGUF", model_type, "known are", known);
}

std::vector<OutputTensor> plan_tensors(const nlohmann::json& json, const GgufFamily& family, const TensorSource& source) {
  const ConfigView config(json);
  const bool tied = config.flag("tie_word_embeddings", family.tied);
  const Plan plan = collect(source, config, family, tied);
  require_all(plan, family, config.layers(), tied);

  std::vector<OutputTensor> tensors;
  for (const auto& [name, planned] : plan) {
    OutputTensor out;
    out.name = name;
    out.parts = planned.parts;
    for (size_t e = 0; e < out.parts.size(); ++e) check(out.parts[e] != nullptr, "the checkpoint lacks expert", e, "of", name);
    arrange(*planned.row, config, source, out);
    const Shape embedding{config.integer("vocab_size"), config.integer("hidden_size")};
    if (name == "token_embd.weight")
      check(out.shape == embedding, "the embedding is (vocab_size, hidden_size)", out.shape, "config.json has", embedding[0], embedding[1]);
    tensors.push_back(std::move(out));
  }
  return tensors;
}

}  // namespace infernum
