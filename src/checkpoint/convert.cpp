// Hugging Face folder or GGUF file in, GGUF file out.
#include "checkpoint/convert.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "checkpoint/checkpoint.h"
#include "checkpoint/config_view.h"
#include "checkpoint/convert_config.h"
#include "checkpoint/convert_plan.h"
#include "checkpoint/convert_rows.h"
#include "checkpoint/convert_sampling.h"
#include "checkpoint/convert_tokenizer.h"
#include "checkpoint/gguf.h"
#include "checkpoint/gguf_metadata.h"
#include "checkpoint/gguf_writer.h"
#include "core/check.h"
#include "core/log.h"
#include "quant/quant.h"

namespace infernum {
namespace {

/// general.file_type of a file whose matrices are of one type; llama.cpp's numbers.
constexpr struct {
  DType type;
  uint32_t file_type;
} file_types[] = {{DType::F32, 0},   {DType::F16, 1},     {DType::BF16, 32},   {DType::Q8_0, 7},   {DType::Q4_0, 2},   {DType::Q4_1, 3},
                  {DType::Q5_0, 8},  {DType::Q5_1, 9},    {DType::Q2_K, 10},   {DType::Q3_K, 11},  {DType::Q4_K, 14},  {DType::Q5_K, 16},
                  {DType::Q6_K, 18}, {DType::IQ4_NL, 25}, {DType::IQ4_XS, 30}, {DType::TQ1_0, 36}, {DType::TQ2_0, 37}, {DType::MXFP4, 38}};

uint32_t file_type(DType type) {
  const auto* row = std::find_if(std::begin(file_types), std::end(file_types), [&](const auto& r) { return r.type == type; });
  check(row != std::end(file_types), "cannot convert to", type);
  return row->file_type;
}

/// The choice of llama.cpp for the M mixtures: the head, and in the first and last eighth of the layers and every third one between them
/// the value and down projections. A tied embedding is the head.
bool matters_most(std::string_view name, int64_t layers, bool tied) {
  if (name == "output.weight" || (tied && name == "token_embd.weight")) return true;
  int64_t layer = 0;
  if (name.substr(0, 4) != "blk." || std::from_chars(name.data() + 4, name.data() + name.size(), layer).ec != std::errc()) return false;
  const std::string_view part = name.substr(name.find('.', 4) + 1);
  if (part != "attn_v.weight" && part != "ffn_down.weight" && part != "ffn_down_exps.weight") return false;
  const int64_t eighth = layers / 8;
  return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

/// Fills in the types of all tensors.
void choose_types(const Conversion& conversion, std::vector<OutputTensor>& tensors, int64_t layers) {
  const bool tied = std::none_of(tensors.begin(), tensors.end(), [](const OutputTensor& t) { return t.name == "output.weight"; });
  for (OutputTensor& tensor : tensors) {
    const DType stored = tensor.parts.empty() ? DType::F32 : tensor.stored_type();
    if (!is_float(stored) && !is_gguf_block(stored)) {
      tensor.type = stored;  // integers, copied as they are
    } else if (stays_f32(tensor.name, tensor.shape.rank())) {
      tensor.type = DType::F32;
    } else if (!conversion.type) {
      tensor.type = stored == DType::F64 ? DType::F32 : stored;
    } else if (tensor.scales && is_gguf_block(*conversion.type)) {
      tensor.type = DType::MXFP4;  // what these weights were trained as
    } else {
      const bool raised = conversion.medium && matters_most(tensor.name, layers, tied);
      tensor.type = fallback_type(raised ? DType::Q6_K : *conversion.type, tensor.shape.last());
    }
  }
}

/// The type of most elements of the matrices.
DType main_type(const std::vector<OutputTensor>& tensors) {
  std::map<DType, int64_t> elements;
  for (const OutputTensor& tensor : tensors)
    if (tensor.shape.rank() >= 2) elements[tensor.type] += tensor.shape.elements();
  DType most = DType::F32;
  for (const auto& [type, count] : elements)
    if (count > elements[most]) most = type;
  return most;
}

/// general.file_type.
uint32_t file_type(const Conversion& conversion, const std::vector<OutputTensor>& tensors) {
  if (conversion.medium) return file_type(*conversion.type) + 1;
  if (conversion.type) return file_type(*conversion.type);
  const DType main = main_type(tensors);
  const auto* row = std::find_if(std::begin(file_types), std::end(file_types), [&](const auto& r) { return r.type == main; });
  return row == std::end(file_types) ? 1024 : row->file_type;  // 1024: to be guessed
}

/// Refuses what cannot be written before anything is read.
void check_target(const Conversion& conversion) {
  if (!conversion.type) return;
  file_type(*conversion.type);
  if (conversion.medium)
    check(conversion.type == DType::Q4_K || conversion.type == DType::Q5_K, "only Q4_K and Q5_K have an M mixture, not", *conversion.type);
}

/// Declares and writes all tensors.
void write_tensors(const Conversion& conversion, std::vector<OutputTensor>& tensors, GgufWriter& writer) {
  bool blocks = false;
  for (const OutputTensor& tensor : tensors) blocks |= is_gguf_block(tensor.type);
  if (blocks) writer.set("general.quantization_version", uint32_t{2});
  for (const OutputTensor& tensor : tensors) writer.declare(tensor.name, tensor.type, tensor.shape);
  Queue<Cpu> queue(std::max(1, conversion.threads));
  int64_t done = 0;
  for (const OutputTensor& tensor : tensors) {
    write_tensor(tensor, writer, queue);
    if (conversion.progress) conversion.progress(tensor.name, ++done, static_cast<int64_t>(tensors.size()));
  }
  writer.finish();
}

OutputTensor factor_tensor(const char* name, std::vector<float> values) {
  OutputTensor tensor;
  tensor.name = name;
  tensor.shape = {static_cast<int64_t>(values.size())};
  tensor.values = std::move(values);
  return tensor;
}

/// The last part of a path that has one: "models/tiny/" -> "tiny".
std::string base_name(const std::string& path) {
  const auto whole = std::filesystem::absolute(path).lexically_normal();
  return (whole.has_filename() ? whole.filename() : whole.parent_path().filename()).string();
}

void convert_hugging_face(const Conversion& conversion) {
  const Checkpoint checkpoint = open_checkpoint(conversion.input);
  const nlohmann::json config = text_config(parse_json_object(checkpoint.config_json, "config.json"));
  const ConfigView view(config);
  const std::string model_type = view.text("model_type");
  const GgufFamily& family = writable_family(model_type);
  std::vector<OutputTensor> tensors = plan_tensors(config, family, checkpoint.tensors);
  choose_types(conversion, tensors, view.layers());
  RopeFactors factors = rope_factors(config, family);
  if (!factors.all.empty()) tensors.push_back(factor_tensor("rope_freqs.weight", std::move(factors.all)));
  if (!factors.long_context.empty()) {
    tensors.push_back(factor_tensor("rope_factors_long.weight", std::move(factors.long_context)));
    tensors.push_back(factor_tensor("rope_factors_short.weight", std::move(factors.short_context)));
  }

  GgufWriter writer(conversion.output);
  writer.set("general.architecture", std::string(family.arch));
  writer.set("general.type", std::string("model"));
  writer.set("general.name", base_name(conversion.input));
  writer.set("general.file_type", file_type(conversion, tensors));
  write_hyper_parameters(config, family, writer);
  write_sampling(checkpoint.generation_config_json, "generation_config.json of " + conversion.input, writer);
  write_tokenizer(checkpoint, view.integer("vocab_size"), writer);
  write_tensors(conversion, tensors, writer);
}

/// Readers that check types expect hyper-parameters and ids in 32 bits.
GgufWriter::Value narrowed(const GgufValue& value) {
  if (const auto* number = std::get_if<uint64_t>(&value)) {
    if (*number <= UINT32_MAX) return static_cast<uint32_t>(*number);
    return *number;
  }
  if (const auto* number = std::get_if<int64_t>(&value)) {
    if (*number >= INT32_MIN && *number <= INT32_MAX) return static_cast<int32_t>(*number);
    return *number;
  }
  if (const auto* number = std::get_if<float>(&value)) return *number;
  if (const auto* number = std::get_if<double>(&value)) return *number;
  if (const auto* flag = std::get_if<bool>(&value)) return *flag;
  return std::string(std::get<std::string_view>(value));
}

void copy_metadata(const GgufMetadata& metadata, GgufWriter& writer) {
  for (const auto& [key, value] : metadata.values()) {
    const bool of_the_file = key == "general.file_type" || key == "general.quantization_version" || key == "general.alignment";
    if (of_the_file || key.compare(0, 6, "split.") == 0) continue;
    if (const auto* array = std::get_if<GgufArray>(&value))
      writer.set_array(key, static_cast<uint32_t>(array->type), array->count, array->bytes);
    else
      writer.set(key, narrowed(value));
  }
}

void convert_gguf(const Conversion& conversion) {
  const Gguf gguf = open_gguf(conversion.input);
  GgufWriter writer(conversion.output);
  copy_metadata(*gguf.metadata, writer);
  std::vector<OutputTensor> tensors;
  for (const StoredTensor& source : gguf.tensors) {
    OutputTensor& tensor = tensors.emplace_back();
    tensor.name = source.name;
    tensor.shape = source.shape;
    tensor.parts = {&source};
  }
  const auto architecture = gguf.metadata->find_string("general.architecture").value_or("");
  choose_types(conversion, tensors, gguf.metadata->find_int(std::string(architecture) + ".block_count", 1, 4096).value_or(1));
  writer.set("general.file_type", file_type(conversion, tensors));
  write_tensors(conversion, tensors, writer);
}

}  // namespace

bool stays_f32(std::string_view name, int rank) {
  const auto contains = [&](std::string_view part) { return name.find(part) != name.npos; };
  const bool weight = name.size() > 7 && name.substr(name.size() - 7) == ".weight";
  return rank < 2 || !weight || contains("_norm.") || contains("ffn_gate_inp") || contains("ssm_conv1d");
}

DType fallback_type(DType type, int64_t row_elements) {
  const auto fits = [&](DType t) { return row_elements % info(t).block == 0; };
  if (fits(type)) return type;
  DType smaller = DType::F16;
  switch (type) {
    case DType::Q2_K:
    case DType::Q3_K:
    case DType::IQ4_XS: smaller = DType::IQ4_NL; break;
    case DType::TQ1_0:
    case DType::TQ2_0: smaller = DType::Q4_0; break;
    case DType::Q4_K: smaller = DType::Q5_0; break;
    case DType::Q5_K: smaller = DType::Q5_1; break;
    case DType::Q6_K: smaller = DType::Q8_0; break;
    default: break;
  }
  return fits(smaller) ? smaller : DType::F16;
}

DType parse_gguf_type(std::string_view name) {
  std::string upper(name), known;
  std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  for (const auto& row : file_types) {
    if (info(row.type).name == upper) return row.type;
    known.append(known.empty() ? "" : " ").append(info(row.type).name);
  }
  fail("unknown type to convert to", name, "known are", known);
}

void set_target(Conversion& conversion, std::string_view name) {
  const size_t plain = name.size() < 2 ? 0 : name.size() - 2;
  const std::string_view ending = name.substr(plain);
  conversion.medium = ending == "_M" || ending == "_m";
  conversion.type = parse_gguf_type(conversion.medium ? name.substr(0, plain) : name);
  check_target(conversion);
}

void convert_to_gguf(const Conversion& conversion) {
  check_target(conversion);
  std::error_code ignored;
  check(!std::filesystem::equivalent(conversion.input, conversion.output, ignored), "input and output are the same file", conversion.input);
  const bool gguf = std::filesystem::path(conversion.input).extension() == ".gguf";
  gguf ? convert_gguf(conversion) : convert_hugging_face(conversion);
}

}  // namespace infernum
