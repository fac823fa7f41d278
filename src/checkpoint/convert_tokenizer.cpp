// tokenizer.json and tokenizer_config.json to tokenizer.ggml.*.
#include "checkpoint/convert_tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>

#include "checkpoint/checkpoint.h"
#include "checkpoint/config_view.h"
#include "checkpoint/gguf_writer.h"
#include "checkpoint/text_file.h"
#include "core/check.h"
#include "core/log.h"

namespace infernum {
namespace {

using nlohmann::json;

enum TokenType : int32_t { Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Unused = 5, Byte = 6 };

const json& member(const json& object, const char* key) {
  static const json null;
  if (!object.is_object()) return null;
  const auto at = object.find(key);
  return at == object.end() ? null : *at;
}

std::string text_of(const json& value) { return value.is_string() ? value.get<std::string>() : std::string(); }
bool is_true(const json& value) { return value.is_boolean() && value.get<bool>(); }

struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::unordered_map<std::string, uint32_t> ids;

  void add(const std::string& token, const json& id, int32_t type) {
    check(id.is_number_integer() && id.get<int64_t>() >= 0, "tokenizer.json: the id of a token is a number from 0 on", printable(token));
    const auto i = id.get<int64_t>();
    check(i < static_cast<int64_t>(tokens.size()), "tokenizer.json: the id of a token is beyond vocab_size", printable(token), i,
          "vocab_size", tokens.size());
    tokens[static_cast<size_t>(i)] = token;
    types[static_cast<size_t>(i)] = type;
    ids[token] = static_cast<uint32_t>(i);
  }
};

/// "<0x41>": a token that stands for one byte.
bool is_byte_token(const std::string& token) {
  return token.size() == 6 && token.compare(0, 3, "<0x") == 0 && std::isxdigit(static_cast<unsigned char>(token[3])) &&
         std::isxdigit(static_cast<unsigned char>(token[4])) && token[5] == '>';
}

Vocabulary read_vocabulary(const json& tokenizer, int64_t vocab_size) {
  Vocabulary v;
  for (int64_t i = 0; i < vocab_size; ++i) v.tokens.push_back("[PAD" + std::to_string(i) + "]");
  v.types.assign(static_cast<size_t>(vocab_size), Unused);
  const json& model = member(tokenizer, "model");
  const bool bytes = is_true(member(model, "byte_fallback"));
  check(member(model, "vocab").is_object(), "tokenizer.json: model.vocab must be an object");
  for (const auto& [token, id] : member(model, "vocab").items()) v.add(token, id, bytes && is_byte_token(token) ? Byte : Normal);
  const std::string unknown = text_of(member(model, "unk_token"));
  for (const json& added : member(tokenizer, "added_tokens")) {
    const std::string token = text_of(member(added, "content"));
    const bool special = is_true(member(added, "special"));
    v.add(token, member(added, "id"), special && bytes && token == unknown ? Unknown : special ? Control : UserDefined);
  }
  return v;
}

/// "left right" for each merge, whichever way tokenizer.json spells it.
std::vector<std::string> read_merges(const json& model) {
  std::vector<std::string> merges;
  for (const json& merge : member(model, "merges")) {
    if (merge.is_string()) {
      merges.push_back(merge.get<std::string>());
      continue;
    }
    check(merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string(),
          "tokenizer.json: a merge is a pair of strings, number", merges.size());
    merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  }
  return merges;
}

/// Scores that make a reader join the same pairs as the merges do: minus the rank of the first merge that yields the token.
std::vector<float> scores_from(const std::vector<std::string>& merges, const Vocabulary& v) {
  std::vector<float> scores(v.tokens.size());
  for (size_t i = 0; i < scores.size(); ++i) scores[i] = v.types[i] == Normal ? -static_cast<float>(merges.size()) : 0.0f;
  for (size_t rank = merges.size(); rank-- > 0;) {
    std::string joined = merges[rank];
    if (const size_t space = joined.find(' '); space != joined.npos) joined.erase(space, 1);
    if (const auto id = v.ids.find(joined); id != v.ids.end() && v.types[id->second] == Normal)
      scores[id->second] = -static_cast<float>(rank);
  }
  return scores;
}

/// True if a normaliser or pre-tokenizer puts a space in front of the text.
bool adds_space_prefix(const json& part) {
  const std::string type = text_of(member(part, "type"));
  if (type == "Prepend") return true;
  if (type == "Metaspace") {
    const std::string scheme = text_of(member(part, "prepend_scheme"));
    return scheme.empty() ? !member(part, "add_prefix_space").is_boolean() || is_true(member(part, "add_prefix_space")) : scheme != "never";
  }
  for (const char* list : {"normalizers", "pretokenizers"})
    for (const json& inner : member(part, list))
      if (adds_space_prefix(inner)) return true;
  return false;
}

/// True if the template of the post-processor begins (or ends) with the special token.
bool template_adds(const json& post, const std::string& token, bool front) {
  for (const json& inner : member(post, "processors"))
    if (template_adds(inner, token, front)) return true;
  const json& single = member(post, "single");
  if (!single.is_array() || single.empty()) return false;
  return text_of(member(member(front ? single.front() : single.back(), "SpecialToken"), "id")) == token;
}

/// A special token of tokenizer_config.json: a string or an object with its content.
std::string special_text(const json& config, const char* key) {
  const json& value = member(config, key);
  return value.is_object() ? text_of(member(value, "content")) : text_of(value);
}

void write_special_tokens(const Checkpoint& checkpoint, const json& tokenizer, const json& config, const Vocabulary& v, uint64_t vocab_size,
                          GgufWriter& writer) {
  const std::string prefix = "tokenizer.ggml.";
  const auto id_of = [&](const std::string& token) -> std::optional<uint32_t> {
    const auto at = v.ids.find(token);
    return token.empty() || at == v.ids.end() ? std::nullopt : std::optional(at->second);
  };
  const json model = text_config(parse_json_object(checkpoint.config_json, "config.json"));
  const std::pair<const char*, const char*> roles[] = {
      {"bos", "bos"}, {"unk", "unknown"}, {"pad", "padding"}, {"sep", "seperator"}, {"mask", "mask"}};
  for (const auto& [ours, theirs] : roles) {
    auto id = id_of(special_text(config, (std::string(ours) + "_token").c_str()));
    const json& number = member(model, (std::string(ours) + "_token_id").c_str());
    if (!id && number.is_number_unsigned() && number.get<uint64_t>() < vocab_size) id = number.get<uint32_t>();
    if (id) writer.set(prefix + theirs + "_token_id", *id);
  }
  // A file has room for three tokens that end a generation: the tokenizer's own first, then the others of the configuration.
  std::vector<uint32_t> ends;
  if (const auto eos = id_of(special_text(config, "eos_token"))) ends.push_back(*eos);
  for (const int id : checkpoint.eos_token_ids)
    if (id >= 0 && std::find(ends.begin(), ends.end(), static_cast<uint32_t>(id)) == ends.end()) ends.push_back(static_cast<uint32_t>(id));
  const char* places[] = {"eos", "eot", "eom"};
  for (size_t i = 0; i < ends.size() && i < 3; ++i) writer.set(prefix + places[i] + "_token_id", ends[i]);
  if (ends.size() > 3) log_warning("GGUF names three end tokens; dropped are " + std::to_string(ends.size() - 3) + " of this checkpoint");

  const std::string bos = special_text(config, "bos_token"), eos = special_text(config, "eos_token");
  const auto adds = [&](const char* key, const std::string& token, bool front) {
    const json& flag = member(config, key);
    return flag.is_boolean() ? flag.get<bool>() : !token.empty() && template_adds(member(tokenizer, "post_processor"), token, front);
  };
  writer.set(prefix + "add_bos_token", adds("add_bos_token", bos, true));
  writer.set(prefix + "add_eos_token", adds("add_eos_token", eos, false));
}

void write_chat_templates(const Checkpoint& checkpoint, const json& config, GgufWriter& writer) {
  if (!checkpoint.chat_template.empty()) writer.set("tokenizer.chat_template", checkpoint.chat_template);
  std::vector<std::string> names;
  if (const json& list = member(config, "chat_template"); list.is_array()) {
    for (const json& entry : list) {
      const std::string name = text_of(member(entry, "name")), text = text_of(member(entry, "template"));
      if (name.empty() || name == "default" || std::find(names.begin(), names.end(), name) != names.end()) continue;
      writer.set("tokenizer.chat_template." + name, text);
      names.push_back(name);
    }
  }
  if (!names.empty()) writer.set("tokenizer.chat_templates", names);
}

}  // namespace

void write_tokenizer(const Checkpoint& checkpoint, int64_t vocab_size, GgufWriter& writer) {
  const json config = parse_json_object(checkpoint.tokenizer_config_json, "tokenizer_config.json");
  write_chat_templates(checkpoint, config, writer);
  if (checkpoint.tokenizer_json.empty()) {
    log_warning(checkpoint.path + " has no tokenizer.json; the GGUF file will have no vocabulary");
    writer.set("tokenizer.ggml.model", std::string("no_vocab"));
    write_special_tokens(checkpoint, {}, config, {}, static_cast<uint64_t>(vocab_size), writer);
    return;
  }
  const json tokenizer = parse_json_object(checkpoint.tokenizer_json, "tokenizer.json");
  writer.set("tokenizer.huggingface.json", checkpoint.tokenizer_json);
  const json& model = member(tokenizer, "model");
  if (text_of(member(model, "type")) != "BPE") {
    log_warning("a tokenizer of type " + printable(text_of(member(model, "type"))) + " is stored as tokenizer.huggingface.json only");
    writer.set("tokenizer.ggml.model", std::string("no_vocab"));
    return;
  }
  const Vocabulary v = read_vocabulary(tokenizer, vocab_size);
  const std::vector<std::string> merges = read_merges(model);
  const bool by_score = is_true(member(model, "byte_fallback"));  // BPE on characters with byte tokens: the form of SentencePiece
  writer.set("tokenizer.ggml.model", std::string(by_score ? "llama" : "gpt2"));
  writer.set("tokenizer.ggml.tokens", v.tokens);
  writer.set("tokenizer.ggml.token_type", v.types);
  if (by_score) {
    writer.set("tokenizer.ggml.pre", std::string("default"));
    writer.set("tokenizer.ggml.scores", scores_from(merges, v));
    writer.set("tokenizer.ggml.add_space_prefix",
               adds_space_prefix(member(tokenizer, "normalizer")) || adds_space_prefix(member(tokenizer, "pre_tokenizer")));
  } else {
    const std::string pre = pre_tokenizer_name(tokenizer);
    if (pre.empty())
      log_warning("the splitting rules of this tokenizer have no name in GGUF; readers of tokenizer.ggml.* will use their default");
    writer.set("tokenizer.ggml.pre", pre.empty() ? std::string("default") : pre);
    writer.set("tokenizer.ggml.merges", merges);
  }
  write_special_tokens(checkpoint, tokenizer, config, v, static_cast<uint64_t>(vocab_size), writer);
}

}  // namespace infernum
