// The encoding pipeline: added tokens, normalizer, pre-tokenizer, model, post-processor.
#include "text/tokenizer.h"

#include "core/check.h"
#include "text/byte_level.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

namespace infernum {

using namespace text;

namespace {

/// Encodes one text; its members are the working memory that all fragments share.
class Encoder {
 public:
  Encoder(const TokenizerParts& parts, bool parse_special, std::vector<int32_t>& ids)
      : parts_(parts), parse_special_(parse_special), ids_(ids) {}

  void encode(std::string_view text, std::string_view trust) {
    std::vector<Fragment> fragments;
    parts_.raw_added.split(text, trust, parse_special_, fragments);
    for (const Fragment& f : fragments) {
      if (f.id >= 0) {
        ids_.push_back(f.id);
      } else {
        const size_t size = f.end - f.begin;
        normalize(text.substr(f.begin, size), trust.empty() ? trust : trust.substr(f.begin, size), f.begin == 0);
      }
    }
  }

 private:
  void normalize(std::string_view text, std::string_view trust, bool at_start) {
    if (parts_.normalizer.is_identity()) return match_normalized(text, trust, at_start);
    TrackedText tracked{std::string(text), parts_.normalized_added.empty() ? std::string() : std::string(trust)};
    parts_.normalizer.apply(tracked);
    check(tracked.bytes.size() <= UINT32_MAX / 4, "encode: normalized text is too long", tracked.bytes.size());
    match_normalized(tracked.bytes, tracked.trust, at_start);
  }

  void match_normalized(std::string_view text, std::string_view trust, bool at_start) {
    if (parts_.normalized_added.empty()) return run_model(text, at_start);
    std::vector<Fragment> fragments;
    parts_.normalized_added.split(text, trust, parse_special_, fragments);
    for (const Fragment& f : fragments) {
      if (f.id >= 0) {
        ids_.push_back(f.id);
      } else {
        run_model(text.substr(f.begin, f.end - f.begin), at_start && f.begin == 0);
      }
    }
  }

  void run_model(std::string_view text, bool at_start) {
    pieces_.text = text;
    pieces_.at_start = at_start;
    parts_.pre_tokenizer.run(pieces_);
    std::visit(
        [&](const auto& model) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(model)>, std::monostate>) {
            for (const Piece& p : pieces_.pieces) model.encode(pieces_.text.substr(p.begin, p.end - p.begin), ids_);
          }
        },
        parts_.model);
  }

  const TokenizerParts& parts_;
  bool parse_special_;
  std::vector<int32_t>& ids_;
  Pieces pieces_;
};

/// The joined spans as valid UTF-8; `trust` has a byte per byte of it, or is empty when all is trusted.
TrackedText join(std::span<const TextSpan> spans) {
  TrackedText joined;
  bool mixed = false;
  for (const TextSpan& span : spans) {
    joined.bytes += span.text;
    mixed |= !span.trusted;
    check(joined.bytes.size() <= TokenizerParts::max_text_bytes, "encode: text longer than 1 GiB", joined.bytes.size());
  }
  if (mixed)
    for (const TextSpan& span : spans) joined.trust.append(span.text.size(), span.trusted ? '\1' : '\0');
  if (is_valid_utf8(joined.bytes)) return joined;
  TrackedText valid;
  for (size_t at = 0; at < joined.bytes.size();) {
    const Utf8Unit unit = next_utf8_unit(std::string_view(joined.bytes).substr(at));
    valid.bytes += unit.kind == Utf8Unit::Character ? std::string_view(joined.bytes).substr(at, unit.bytes) : replacement_character;
    if (mixed) valid.trust.resize(valid.bytes.size(), joined.trust.substr(at, unit.bytes).find('\0') == std::string::npos ? '\1' : '\0');
    at += unit.bytes;
  }
  return valid;
}

}  // namespace

void TokenizerParts::set_token(int64_t id, std::string_view text) {
  check(id >= 0 && id < max_vocab, "tokenizer: token id out of range [0, 4194304)", id, text);
  const auto at = static_cast<size_t>(id);
  if (at >= tokens.size()) {
    tokens.resize(at + 1);
    special.resize(at + 1);
    verbatim.resize(at + 1);
  }
  check(tokens[at].empty() || tokens[at] == text, "tokenizer: two tokens have the same id", id, tokens[at], text);
  tokens[at] = text;
}

std::string TokenizerParts::token_bytes(int32_t id) const {
  if (id < 0 || static_cast<size_t>(id) >= tokens.size()) return {};
  const std::string& text = tokens[static_cast<size_t>(id)];
  if (verbatim[static_cast<size_t>(id)]) return text;
  if (byte_tokens) {
    if (const int byte = parse_byte_token(text); byte >= 0) return {static_cast<char>(byte)};
  }
  std::string bytes;
  if (spelling == TokenSpelling::ByteAlphabet && ByteAlphabet::get().append_bytes(bytes, text)) return bytes;
  if (spelling != TokenSpelling::SpaceMarks) return text;
  static const Pattern mark = Pattern::literal(std::string(metaspace_mark));
  mark.replace(text, " ", bytes);
  return bytes;
}

void TokenizerParts::feed(DecodeRun& run, int32_t id, bool skip_special, std::string& out) const {
  if (id < 0 || static_cast<size_t>(id) >= tokens.size()) return;
  const auto at = static_cast<size_t>(id);
  if (tokens[at].empty() || (skip_special && special[at])) return;
  run.feed(decode_bytes ? token_bytes(id) : tokens[at], out);
}

Tokenizer::Tokenizer(std::shared_ptr<const TokenizerParts> parts) : parts_(std::move(parts)) {}

std::vector<int32_t> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  const TextSpan span{text, true};
  return encode({&span, 1}, options);
}

std::vector<int32_t> Tokenizer::encode(std::span<const TextSpan> spans, EncodeOptions options) const {
  std::vector<int32_t> ids;
  if (options.add_special)
    for (auto t = parts_->templates.rbegin(); t != parts_->templates.rend(); ++t) ids.insert(ids.end(), t->before.begin(), t->before.end());
  Encoder encoder(*parts_, options.parse_special, ids);
  if (spans.size() == 1 && spans[0].trusted && is_valid_utf8(spans[0].text)) {
    check(spans[0].text.size() <= TokenizerParts::max_text_bytes, "encode: text longer than 1 GiB", spans[0].text.size());
    ids.reserve(spans[0].text.size() / 4 + 8);
    encoder.encode(spans[0].text, {});
  } else {
    const TrackedText joined = join(spans);
    encoder.encode(joined.bytes, joined.trust);
  }
  if (options.add_special)
    for (const Template& t : parts_->templates) ids.insert(ids.end(), t.after.begin(), t.after.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string out;
  DecodeRun run(parts_->decoder);
  for (const int32_t id : ids) parts_->feed(run, id, skip_special, out);
  run.finish(out);
  return out;
}

int32_t Tokenizer::vocab_size() const { return static_cast<int32_t>(parts_->tokens.size()); }

std::optional<int32_t> Tokenizer::token_id(std::string_view token) const {
  const int32_t id = parts_->ids.find(token);
  return id < 0 ? std::nullopt : std::optional<int32_t>(id);
}

std::string_view Tokenizer::token_text(int32_t id) const {
  return id < 0 || id >= vocab_size() ? std::string_view() : std::string_view(parts_->tokens[static_cast<size_t>(id)]);
}

std::string Tokenizer::token_bytes(int32_t id) const { return parts_->token_bytes(id); }

bool Tokenizer::is_special(int32_t id) const { return id >= 0 && id < vocab_size() && parts_->special[static_cast<size_t>(id)]; }

std::optional<int32_t> Tokenizer::bos_id() const { return parts_->bos; }
std::optional<int32_t> Tokenizer::eos_id() const { return parts_->eos; }
std::optional<int32_t> Tokenizer::unk_id() const { return parts_->unk; }
std::optional<int32_t> Tokenizer::pad_id() const { return parts_->pad; }
const std::vector<int32_t>& Tokenizer::end_of_generation_ids() const { return parts_->end_of_generation; }

}  // namespace infernum
