// Mutation of JSON files by values instead of bytes, so that what comes out is still JSON; and seeds of tokenizer.json.
#pragma once
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "support/fuzz_seeds.h"

namespace infernum::testutil {

/// Every value inside `root`, itself first.
inline std::vector<nlohmann::json*> values_of(nlohmann::json& root) {
  std::vector<nlohmann::json*> all = {&root};
  for (size_t i = 0; i < all.size(); i++)
    if (all[i]->is_structured())
      for (nlohmann::json& inner : *all[i]) all.push_back(&inner);
  return all;
}

/// Changes one value: into another of this or the other document, a remarkable one, a neighbouring one; or drops, doubles or renames.
inline void mutate_value(nlohmann::json& root, const nlohmann::json& other, std::minstd_rand& random) {
  using nlohmann::json;
  static const json remarkable = json::parse(
      R"([null,true,false,-1,0,1,2,3,4,64,255,65536,2147483647,4294967296,9223372036854775807,18446744073709551615,-9223372036854775808,
          0.5,1e-300,1e308,"","a"," ","\u0120","\u2581","\ud83e\udd99",[],[[]],{},{"type":"Sequence"}])");
  json donor = other;
  const auto values = values_of(root), others = values_of(donor);
  json& value = *values[random() % values.size()];
  const json& another = *others[random() % others.size()];
  switch (random() % 6) {
    case 0: value = remarkable[random() % remarkable.size()]; return;
    case 1: value = json(another); return;
    case 2: value = json(*values[random() % values.size()]); return;
    case 3:
      if (value.is_structured() && !value.empty()) value.erase(std::next(value.begin(), static_cast<long>(random() % value.size())));
      return;
    case 4:
      if (value.is_array()) value.push_back(value.empty() || random() % 2 ? another : value[random() % value.size()]);
      if (value.is_object() && !value.empty()) {
        const json inner = *std::next(value.begin(), static_cast<long>(random() % value.size()));
        value[another.is_string() ? another.get<std::string>() : "x" + std::to_string(random() % 10)] = inner;
      }
      return;
    default:
      if (value.is_number_integer()) value = value.get<uint64_t>() / (1 + random() % 2) + (random() % 2 ? uint64_t{1} : ~uint64_t{0});
      if (value.is_boolean()) value = !value.get<bool>();
      if (value.is_string()) {
        std::string text = value.get<std::string>();
        const size_t size = text.size();
        text.resize(size + 16);
        text.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(text.data()), size, text.size()));
        value = text;
      }
  }
}

/// The body of LLVMFuzzerCustomMutator for a JSON document that follows `skip` bytes of the input.
inline size_t mutate_json(const std::vector<std::string>& seeds, uint8_t* data, size_t size, size_t max_size, unsigned seed,
                          size_t skip = 0) {
  using nlohmann::json;
  std::minstd_rand random(seed + 1);
  for (int i = 0; i < 3; i++) random();
  const std::string& spare = seeds[random() % seeds.size()];
  if (random() % 16 == 0) return mutate_from_seeds(seeds, data, size, max_size, seed);
  std::string head(reinterpret_cast<const char*>(data), std::min(size, skip));
  json root = size > skip ? json::parse(data + skip, data + size, nullptr, false) : json(json::value_t::discarded);
  if (root.is_discarded() || random() % 64 == 0) {
    root = json::parse(spare.substr(skip));
    head = spare.substr(0, skip);
  }
  const json other = json::parse(spare.substr(skip));
  for (unsigned n = 1 + random() % 3; n > 0; n--) mutate_value(root, other, random);
  const std::string text = head + root.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > max_size) return mutate_from_seeds(seeds, data, size, max_size, seed);
  std::memcpy(data, text.data(), text.size());
  return text.size();
}

/// tokenizer.json of every model type, with every component somewhere.
inline std::vector<std::string> tokenizer_json_seeds() {
  const std::string added =
      R"("added_tokens":[{"id":8,"content":"<s>","special":true},{"id":9,"content":"<t> ","special":false,"lstrip":true,
    "rstrip":true,"single_word":true,"normalized":true}],)";
  const std::string bytes = R"("model":{"type":"BPE","vocab":{"H":0,"e":1,"l":2,"o":3,"\u0120":4,"ll":5,"llo":6,"\u0120H":7},
    "merges":["l l",["ll","o"],"\u0120 H"]}})";
  return {"{" + added +
              R"("normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":
            "(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|\\s+"},"behavior":"Isolated","invert":false},{"type":"Digits",
              "individual_digits":true},
            {"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]},"post_processor":{"type":"Sequence",
              "processors":[{"type":"ByteLevel"},
            {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
            "special_tokens":{"<s>":{"id":"<s>","ids":[8],"tokens":["<s>"]}}}]},"decoder":{"type":"ByteLevel"},)" +
              bytes,
          "{" + added + R"("pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true,"use_regex":true},"decoder":{"type":"ByteLevel"},)" +
              bytes,
          "{" + added +
              R"("normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"\u2581"},{"type":"Replace",
            "pattern":{"String":" "},
            "content":"\u2581"},{"type":"Strip","strip_left":true},{"type":"StripAccents"},{"type":"NFKD"},{"type":"Nmt"}]},
            "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"\u2581"},"content":" "},{"type":"ByteFallback"},
            {"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},"model":{"type":"BPE","unk_token":"?","byte_fallback":true,
            "fuse_unk":true,"ignore_merges":true,"vocab":{"?":0,"<0x0A>":1,"<0xC3>":2,"\u2581":3,"l":4,"ll":5,"H":6,"o":7},
            "merges":["l l"]}})",
          "{" + added +
              R"("pre_tokenizer":{"type":"Metaspace","replacement":"\u2581","prepend_scheme":"first","split":true},
            "decoder":{"type":"Metaspace",
            "replacement":"\u2581","prepend_scheme":"always"},"model":{"type":"Unigram","unk_id":0,"byte_fallback":false,
            "vocab":[["<unk>",0],["\u2581",-1.5],["\u2581Hello",-2],["l",-3],["o",-4.5],["e",-5]]}})",
          "{" + added +
              R"("normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},
            "pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":{"type":"BertProcessing","sep":["<s>",8],"cls":["<s>",8]},
            "decoder":{"type":"WordPiece","prefix":"##","cleanup":true},"model":{"type":"WordPiece","unk_token":"[UNK]",
            "continuing_subword_prefix":"##","max_input_chars_per_word":20,"vocab":{"[UNK]":0,"hello":1,"##o":2,"he":3,"##l":4,"!":5}}})",
          "{" + added +
              R"("normalizer":{"type":"Lowercase"},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},
            {"type":"Punctuation",
            "behavior":"MergedWithPrevious"},{"type":"CharDelimiterSplit","delimiter":"-"},{"type":"FixedLength","length":3},
              {"type":"Whitespace"}]},
            "post_processor":{"type":"RobertaProcessing","sep":["<s>",8],"cls":["<s>",8],"trim_offsets":true,"add_prefix_space":true},
            "decoder":{"type":"BPEDecoder","suffix":"</w>"},"model":{"type":"WordLevel","unk_token":"?","vocab":{"?":0,"hel":1,"lo":2}}})"};
}

}  // namespace infernum::testutil
