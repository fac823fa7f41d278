// GGUF metadata to a tokenizer: each model kind with the defaults that llama.cpp gives it.
#include "text/gguf_vocab.h"

#include <algorithm>
#include <memory>
#include <set>

#include "core/check.h"
#include "text/gguf_pre.h"
#include "text/tokenizer.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

namespace infernum {

using namespace text;

namespace {

/// Tokens that end a turn wherever they occur, told by their text.
constexpr std::string_view end_texts[] = {"<|eot_id|>",
                                          "<|im_end|>",
                                          "<|end|>",
                                          "<|return|>",
                                          "<|call|>",
                                          "<|flush|>",
                                          "<|calls|>",
                                          "<end_of_turn>",
                                          "<turn|>",
                                          "<|tool_response>",
                                          "<|endoftext|>",
                                          "<|end_of_text|>",
                                          "</s>",
                                          "<eos>",
                                          "<|eom_id|>",
                                          "<EOT>",
                                          "[EOT]",
                                          "[EOS]",
                                          "_<EOT>",
                                          "<end_of_utterance>",
                                          "<｜end▁of▁sentence｜>"};
/// Padding, repository and file marks of fill-in-the-middle: a completion ends there too.
constexpr std::string_view fim_end_texts[] = {"<|fim_pad|>",   "<fim-pad>",  "<fim_pad>", "<PAD>",      "[PAD]",       "<|fim_repo|>",
                                              "<|repo_name|>", "<fim-repo>", "<REPO>",    "<reponame>", "<|file_sep|>"};

class GgufLoader {
 public:
  explicit GgufLoader(const GgufVocab& vocab) : v_(vocab), parts_(std::make_shared<TokenizerParts>()) {}

  std::shared_ptr<const TokenizerParts> load() {
    load_tokens();
    if (v_.model == "llama") {
      llama();
    } else if (v_.model == "gpt2") {
      gpt2();
    } else if (v_.model == "bert") {
      bert();
    } else if (v_.model == "t5") {
      t5();
    } else if (v_.model == "gemma4") {
      gemma4();
    } else {
      fail("GGUF tokenizer: tokenizer.ggml.model is llama, gpt2, bert, t5 or gemma4, not", v_.model.empty() ? "missing" : v_.model);
    }
    load_added_tokens();
    load_end_of_generation();
    return parts_;
  }

 private:
  static bool is_end_text(std::string_view text) {
    return std::find(std::begin(end_texts), std::end(end_texts), text) != std::end(end_texts);
  }

  GgufTokenType type(size_t id) const {
    return v_.token_type.empty() ? GgufTokenType::Normal : static_cast<GgufTokenType>(v_.token_type[id]);
  }

  void load_tokens() {
    const size_t count = v_.tokens.size();
    check(count > 0, "GGUF tokenizer: tokenizer.ggml.tokens is missing or empty");
    check(count <= static_cast<size_t>(TokenizerParts::max_vocab), "GGUF tokenizer: more tokens than", TokenizerParts::max_vocab, count);
    check(v_.token_type.empty() || v_.token_type.size() == count, "GGUF tokenizer: token_type and tokens differ in number",
          v_.token_type.size(), count);
    check(v_.scores.empty() || v_.scores.size() == count, "GGUF tokenizer: scores and tokens differ in number", v_.scores.size(), count);
    TokenizerParts& p = *parts_;
    p.tokens = v_.tokens;
    p.special.resize(count);
    p.verbatim.resize(count);
    p.ids.reserve(count);
    matchable_.resize(count);
    for (size_t id = 0; id < count; ++id) {
      if (!is_valid_utf8(p.tokens[id])) p.tokens[id] = to_valid_utf8(p.tokens[id]);
      GgufTokenType kind = type(id);
      check(kind >= GgufTokenType::Undefined && kind <= GgufTokenType::Byte, "GGUF tokenizer: unknown token_type of token", id,
            v_.token_type.empty() ? 1 : v_.token_type[id]);
      // Converters sometimes leave these as ordinary tokens; a prompt could then not hold them.
      if (kind == GgufTokenType::Normal && is_end_text(p.tokens[id])) kind = GgufTokenType::Control;
      p.special[id] = kind == GgufTokenType::Control || kind == GgufTokenType::Unknown;
      p.verbatim[id] = p.special[id] || kind == GgufTokenType::UserDefined;
      matchable_[id] = !p.special[id];
      if (!p.tokens[id].empty()) p.ids.insert(p.tokens[id], static_cast<int32_t>(id), true);
    }
  }

  /// The id of a key, or its default where the vocabulary is large enough.
  std::optional<int32_t> id_or(const std::optional<int32_t>& id, const char* key, int32_t otherwise) const {
    const auto count = static_cast<int32_t>(v_.tokens.size());
    if (!id) return otherwise >= 0 && otherwise < count ? std::optional<int32_t>(otherwise) : std::nullopt;
    if (*id == -1) return std::nullopt;
    check(*id >= 0 && *id < count, "GGUF tokenizer: token id outside of the vocabulary", key, *id, count);
    return id;
  }

  void load_ids(int32_t bos, int32_t eos, int32_t unk, int32_t pad) {
    parts_->bos = id_or(v_.bos_token_id, "bos_token_id", bos);
    parts_->eos = id_or(v_.eos_token_id, "eos_token_id", eos);
    parts_->unk = id_or(v_.unknown_token_id, "unknown_token_id", unk);
    parts_->pad = id_or(v_.padding_token_id, "padding_token_id", pad);
  }

  void set_template(bool add_bos, bool add_eos) {
    Template t;
    if (v_.add_bos_token.value_or(add_bos) && parts_->bos) t.before.push_back(*parts_->bos);
    if (v_.add_eos_token.value_or(add_eos) && parts_->eos) t.after.push_back(*parts_->eos);
    parts_->templates = {std::move(t)};
  }

  TokenList token_list() const { return {parts_->tokens, matchable_, parts_->ids}; }

  std::vector<MergeRule> merge_rules() const {
    std::vector<MergeRule> rules;
    rules.reserve(v_.merges.size());
    for (size_t i = 0; i < v_.merges.size(); ++i) {
      const std::string_view line = v_.merges[i];
      const size_t space = line.find(' ', 1);
      check(space != std::string_view::npos && space + 1 < line.size(), "GGUF tokenizer: a merge is two tokens with a space between, merge",
            i, line);
      rules.push_back({line.substr(0, space), line.substr(space + 1)});
    }
    return rules;
  }

  void llama() {
    load_ids(1, 2, 0, -1);
    set_template(true, false);
    const bool prefix = v_.add_space_prefix.value_or(true);
    std::vector<NormalizerStep> steps;
    if (prefix) steps.emplace_back(PrependNormalizer{" "});
    steps.emplace_back(ReplaceNormalizer{Pattern::literal(" "), std::string(metaspace_mark)});
    parts_->normalizer = Normalizer(std::move(steps));
    parts_->model = ScoredBpe(token_list(), v_.scores, parts_->unk.value_or(-1));
    decode_marked_bytes(prefix);
  }

  void decode_marked_bytes(bool drop_first_space) {
    parts_->spelling = TokenSpelling::SpaceMarks;
    parts_->byte_tokens = true;
    parts_->decode_bytes = true;
    parts_->decoder.emplace_back(BytesDecoder{});
    if (drop_first_space) parts_->decoder.emplace_back(StripDecoder{" ", 1, 0});
  }

  void gpt2() {
    const GgufPre pre = gguf_pre(v_.pre);
    load_ids(11, 11, -1, -1);
    set_template(pre.add_bos, false);
    std::vector<PreTokenizerStep> steps;
    for (const std::string_view regex : pre.regexes) steps.emplace_back(SplitStep{Pattern::regex(regex), SplitBehavior::Isolated, false});
    steps.emplace_back(ByteLevelStep{false, false});
    parts_->pre_tokenizer = PreTokenizer(std::move(steps));
    BpeConfig config;
    config.ignore_merges = pre.ignore_merges;
    config.byte_level = true;
    parts_->model = Bpe(token_list(), merge_rules(), std::move(config));
    parts_->spelling = TokenSpelling::ByteAlphabet;
    parts_->decode_bytes = true;
    parts_->decoder.emplace_back(BytesDecoder{});
  }

  void bert() {
    load_ids(101, -1, 100, 0);
    const auto cls = id_or(v_.cls_token_id ? v_.cls_token_id : v_.bos_token_id, "cls_token_id", 101);
    const auto sep = id_or(v_.seperator_token_id ? v_.seperator_token_id : v_.eos_token_id, "seperator_token_id", 102);
    Template t;
    if (cls && v_.add_bos_token.value_or(true)) t.before.push_back(*cls);
    if (sep && v_.add_sep_token.value_or(v_.add_eos_token.value_or(true))) t.after.push_back(*sep);
    parts_->templates = {std::move(t)};
    parts_->normalizer = Normalizer({BertNormalizer{true, true, true, true}});
    parts_->pre_tokenizer = PreTokenizer({BertStep{}});
    WordPieceConfig config;
    config.word_prefix = metaspace_mark;
    config.max_input_chars_per_word = SIZE_MAX;
    check(parts_->unk.has_value(), "GGUF tokenizer: bert without an unknown token");
    config.unk_id = *parts_->unk;
    parts_->model = WordPiece(token_list(), std::move(config));
    parts_->decoder.emplace_back(WordPieceDecoder{"", false, std::string(metaspace_mark)});
  }

  void t5() {
    load_ids(-1, 1, 2, 0);
    set_template(false, true);
    const auto map = v_.precompiled_charsmap.empty() ? nullptr : std::make_shared<Charsmap>(v_.precompiled_charsmap);
    const bool prefix = v_.add_space_prefix.value_or(true);
    parts_->normalizer = Normalizer({SentencePieceNormalizer{map, prefix, v_.remove_extra_whitespaces.value_or(true)}});
    check(v_.scores.size() == v_.tokens.size(), "GGUF tokenizer: t5 without scores", v_.scores.size(), v_.tokens.size());
    std::vector<double> scores(v_.scores.begin(), v_.scores.end());
    // Only ordinary pieces count for the score of an unknown character.
    double least = 0;
    for (size_t id = 0; id < scores.size(); ++id)
      if (type(id) == GgufTokenType::Normal) least = std::min(least, scores[id]);
    for (size_t id = 0; id < scores.size(); ++id) {
      if (type(id) == GgufTokenType::UserDefined) scores[id] = 0;
      if (type(id) == GgufTokenType::Unused || type(id) == GgufTokenType::Byte || type(id) == GgufTokenType::Undefined) matchable_[id] = 0;
      if (!matchable_[id]) scores[id] = least;
    }
    parts_->model = Unigram(token_list(), std::move(scores), parts_->unk.value_or(-1), false);
    parts_->spelling = TokenSpelling::SpaceMarks;
    parts_->decode_bytes = true;
    parts_->decoder.emplace_back(BytesDecoder{});
    if (prefix) parts_->decoder.emplace_back(StripDecoder{" ", 1, 0});
  }

  void gemma4() {
    load_ids(-1, -1, -1, 0);
    if (!parts_->bos) parts_->bos = parts_->ids.find("<bos>") >= 0 ? std::optional<int32_t>(parts_->ids.find("<bos>")) : std::nullopt;
    set_template(true, false);
    parts_->normalizer = Normalizer({ReplaceNormalizer{Pattern::literal(" "), std::string(metaspace_mark)}});
    parts_->pre_tokenizer = PreTokenizer({SplitStep{Pattern::regex("[^\\n]+|[\\n]+"), SplitBehavior::Isolated, false}});
    BpeConfig config;
    config.byte_fallback = true;
    if (parts_->unk) config.unk_token = parts_->tokens[static_cast<size_t>(*parts_->unk)];
    parts_->model = Bpe(token_list(), merge_rules(), std::move(config));
    decode_marked_bytes(false);
  }

  void load_added_tokens() {
    std::vector<AddedToken> added;
    for (size_t id = 0; id < v_.tokens.size(); ++id) {
      if (!parts_->verbatim[id] || parts_->tokens[id].empty()) continue;
      AddedToken token;
      token.id = static_cast<int32_t>(id);
      token.content = parts_->tokens[id];
      token.special = parts_->special[id];
      token.rstrip = v_.strip_right && token.content != "<unk>" && token.content != "<s>" && token.content != "<|endoftext|>";
      token.lstrip = v_.pre.rfind("jina-v2-", 0) == 0 && token.content == "<mask>";
      added.push_back(std::move(token));
    }
    parts_->raw_added = AddedTokens(std::move(added), MatchOrder::LongestFirst);
  }

  void load_end_of_generation() {
    std::set<int32_t> ids;
    const auto text_id = [&](std::string_view text) { return parts_->ids.find(text); };
    for (const std::string_view text : end_texts)
      if (const int32_t id = text_id(text); id >= 0) ids.insert(id);
    for (const std::string_view text : fim_end_texts)
      if (const int32_t id = text_id(text); id >= 0 && parts_->special[static_cast<size_t>(id)]) ids.insert(id);
    if (text_id("<|return|>") >= 0 && text_id("<|call|>") >= 0) ids.erase(text_id("<|end|>"));
    if (text_id("<|tool_response>") >= 0) ids.erase(text_id("</s>"));
    if (parts_->eos) ids.insert(*parts_->eos);
    for (const auto& id : {v_.eot_token_id, v_.eom_token_id, v_.fim_pad_token_id, v_.fim_rep_token_id, v_.fim_sep_token_id})
      if (const auto known = id_or(id, "eot/eom/fim token id", -1)) ids.insert(*known);
    parts_->end_of_generation.assign(ids.begin(), ids.end());
  }

  const GgufVocab& v_;
  std::shared_ptr<TokenizerParts> parts_;
  std::vector<char> matchable_;
};

}  // namespace

Tokenizer Tokenizer::from_gguf(const GgufVocab& vocab) {
  if (!vocab.huggingface_json.empty()) return from_json(vocab.huggingface_json);
  return Tokenizer(GgufLoader(vocab).load());
}

}  // namespace infernum
