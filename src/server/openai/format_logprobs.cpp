// The three shapes of logprobs: a chat's, the older API's, and those of a prompt.
#include <algorithm>

#include "server/json_writer.h"
#include "server/openai/format.h"
#include "text/stream_decoder.h"
#include "text/unicode.h"

namespace infernum::server::openai {
namespace {

constexpr float no_logprob = -9999;  // of a token that was not scored; JSON has no minus infinity

void append_bytes(std::string& out, const std::string& bytes) {
  out += '[';
  for (size_t i = 0; i < bytes.size(); i++) {
    if (i) out += ',';
    append_number(out, int64_t{static_cast<unsigned char>(bytes[i])});
  }
  out += ']';
}

/// The alternatives that were asked for: of a prompt the engine may have scored more.
std::span<const TokenLogprob> first(const std::vector<TokenLogprob>& top, int count) {
  return std::span(top).first(std::min(top.size(), static_cast<size_t>(std::max(count, 0))));
}

/// The alternatives of a generated token: the most probable ones, then those of logprob_token_ids that are not among them.
std::vector<TokenLogprob> alternatives(const ScoredToken& token, const Plan& plan) {
  const size_t most = first(token.top, plan.logprobs).size();
  std::vector<TokenLogprob> out(token.top.begin(), token.top.begin() + static_cast<std::ptrdiff_t>(most));
  for (size_t i = most; i < token.top.size() && !plan.request.logprob_token_ids.empty(); i++)
    if (std::none_of(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(most), [&](const auto& t) { return t.id == token.top[i].id; }))
      out.push_back(token.top[i]);
  return out;
}

/// {"text": logprob}, the chosen token included. Of tokens that read alike the more probable one counts.
void append_top_map(std::string& out, const Tokenizer& tokenizer, const ScoredToken& token, std::span<const TokenLogprob> top,
                    const Plan& plan) {
  std::vector<std::pair<std::string, float>> entries;
  const auto add = [&](int32_t id, float logprob) {
    std::string name = token_name(tokenizer, id, plan.tokens_as_ids);
    const auto same = std::find_if(entries.begin(), entries.end(), [&](const auto& e) { return e.first == name; });
    if (same == entries.end())
      entries.emplace_back(std::move(name), logprob);
    else
      same->second = std::max(same->second, logprob);
  };
  for (const TokenLogprob& t : top) add(t.id, t.logprob);
  add(token.id, token.logprob.value_or(no_logprob));
  JsonWriter w(out);
  w.begin_object();
  for (const auto& [name, logprob] : entries) w.key(name).number(logprob);
  w.end_object();
}

}  // namespace

void Format::write_chat_logprobs(std::string& out, const std::vector<PlacedToken>* tokens) const {
  const auto append = [&](int32_t id, float logprob) {
    out += "{\"token\":";
    append_string(out, token_name(tokenizer_, id, plan_.tokens_as_ids));
    out += ",\"logprob\":";
    append_number(out, logprob);
    out += ",\"bytes\":";
    // A token that the text does not show has no bytes in it: those of all tokens joined are the message.
    if (plan_.skip_special && tokenizer_.is_special(id))
      out += "null";
    else
      append_bytes(out, tokenizer_.token_bytes(id));
  };
  out += "{\"content\":[";
  bool comma = false;
  if (tokens)
    for (const PlacedToken& token : *tokens) {
      if (comma) out += ',';
      comma = true;
      append(token.scored.id, token.scored.logprob.value_or(no_logprob));
      out += ",\"top_logprobs\":[";
      const std::vector<TokenLogprob> top = alternatives(token.scored, plan_);
      for (const TokenLogprob& t : top) {
        if (&t != top.data()) out += ',';
        append(t.id, t.logprob);
        out += '}';
      }
      out += "]}";
    }
  out += "],\"refusal\":null}";
}

void Format::write_text_logprobs(std::string& out, const std::vector<ScoredToken>* prompt, const std::vector<PlacedToken>* tokens,
                                 size_t character) const {
  struct Row {
    const ScoredToken* token;
    size_t offset;
    bool of_prompt;
  };
  std::vector<Row> rows;
  if (prompt) {
    StreamDecoder decoder(tokenizer_, plan_.skip_special);
    size_t before = 0;
    for (const ScoredToken& token : *prompt) {
      rows.push_back({&token, before, true});
      before += text::count_code_points(decoder.push(token.id));
    }
  }
  if (tokens)
    for (const PlacedToken& token : *tokens) rows.push_back({&token.scored, character + token.character, false});
  JsonWriter w(out);
  w.begin_object().key("tokens").begin_list();
  for (const Row& row : rows) w.string(token_name(tokenizer_, row.token->id, plan_.tokens_as_ids));
  w.end_list().key("token_logprobs").begin_list();
  for (const Row& row : rows) row.token->logprob ? w.number(*row.token->logprob) : w.null();
  w.end_list().key("top_logprobs").begin_list();
  for (const Row& row : rows) {
    if (!row.token->logprob) {
      w.null();
      continue;
    }
    std::string map;
    const std::vector<TokenLogprob> generated = row.of_prompt ? std::vector<TokenLogprob>() : alternatives(*row.token, plan_);
    append_top_map(map, tokenizer_, *row.token, row.of_prompt ? first(row.token->top, plan_.logprobs) : std::span(generated), plan_);
    w.raw(map);
  }
  w.end_list().key("text_offset").begin_list();
  for (const Row& row : rows) w.number(static_cast<int64_t>(row.offset));
  w.end_list().end_object();
}

void Format::write_prompt_logprobs(std::string& out, const std::vector<ScoredToken>& prompt) const {
  JsonWriter w(out);
  w.begin_list();
  for (const ScoredToken& token : prompt) {
    if (!token.logprob) {
      w.null();
      continue;
    }
    w.begin_object();
    const auto add = [&](int32_t id, float logprob, int64_t rank) {
      w.key(std::to_string(id)).begin_object();
      w.key("logprob").number(logprob).key("rank").number(rank).key("decoded_token").string(token_name(tokenizer_, id, false));
      w.end_object();
    };
    bool seen = false;
    int64_t rank = 1;
    for (const TokenLogprob& t : first(token.top, plan_.prompt_logprobs)) {
      add(t.id, t.logprob, rank++);
      seen = seen || t.id == token.id;
    }
    if (!seen) add(token.id, *token.logprob, token.rank);
    w.end_object();
  }
  w.end_list();
}

}  // namespace infernum::server::openai
