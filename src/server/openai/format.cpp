#include "server/openai/format.h"

#include <algorithm>
#include <cmath>

#include "server/json_writer.h"

namespace infernum::server::openai {
namespace {

void append_ids(std::string& out, const TokenIds& ids) {
  out += '[';
  for (size_t i = 0; i < ids.size(); i++) {
    if (i) out += ',';
    append_number(out, int64_t{ids[i]});
  }
  out += ']';
}

std::string_view limit_name(CacheLimit limit) {
  switch (limit) {
    case CacheLimit::Whole: return "whole";
    case CacheLimit::Disabled: return "disabled";
    case CacheLimit::Unseen: return "unseen";
    case CacheLimit::Evicted: return "evicted";
    case CacheLimit::StateNotKept: return "state_not_kept";
  }
  return "unseen";
}

}  // namespace

void write_usage(std::string& out, const Usage& usage) {
  JsonWriter w(out);
  w.begin_object();
  w.key("prompt_tokens").number(usage.prompt_tokens);
  w.key("completion_tokens").number(usage.completion_tokens);
  w.key("total_tokens").number(usage.prompt_tokens + usage.completion_tokens);
  w.key("prompt_tokens_details").begin_object().key("cached_tokens").number(usage.cached_tokens).end_object();
  w.key("completion_tokens_details").begin_object();
  for (const char* name : {"reasoning_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"}) w.key(name).number(int64_t{0});
  w.end_object().end_object();
}

void write_timings(std::string& out, const Timings& timings) {
  const RequestBill& b = timings.bill;
  const auto milliseconds = [](double seconds) { return static_cast<double>(std::llround(seconds * 1e6)) / 1e3; };
  JsonWriter w(out);
  w.begin_object().key("timings").begin_object();
  w.key("queue_ms").number(milliseconds(b.queue_seconds));
  w.key("prefill_ms").number(milliseconds(b.prefill_seconds));
  w.key("decode_ms").number(milliseconds(b.decode_seconds));
  w.key("total_ms").number(milliseconds(timings.total_seconds));
  w.key("prompt_tokens").number(b.prompt_tokens);
  w.key("cached_tokens").number(b.cached_tokens);
  w.key("cache_limit").string(limit_name(b.cache_limit));
  w.key("generated_tokens").number(b.generated_tokens);
  w.key("preemptions").number(int64_t{b.preemptions});
  w.end_object().end_object();
}

Format::Format(const Plan& plan, const ServedModel& model, std::string id, int64_t created)
    : plan_(plan), tokenizer_(model.tokenizer), id_(std::move(id)) {
  fixed_ = "\"created\":" + std::to_string(created) + ",\"model\":";
  append_string(fixed_, plan.model);
  fixed_ += ",\"system_fingerprint\":";
  append_string(fixed_, model.system_fingerprint);
  head_ = "data: {\"id\":";
  append_string(head_, id_);
  head_ += plan.shape == Shape::Chat ? ",\"object\":\"chat.completion.chunk\"," : ",\"object\":\"text_completion\",";
  head_ += fixed_ + ",\"choices\":[";
}

void Format::begin_choice(std::string& out, size_t index) const {
  out += head_;
  out += "{\"index\":";
  append_number(out, static_cast<int64_t>(index));
}

void Format::end_chunk(std::string& out, const Usage& usage, const Timings* timings) const {
  if (plan_.include_usage) {
    out += ",\"usage\":";
    if (plan_.continuous_usage)
      write_usage(out, usage);
    else
      out += "null";
  }
  if (timings) {
    out += ",\"infernum\":";
    write_timings(out, *timings);
  }
  out += "}\n\n";
}

void Format::role_chunk(std::string& out, const ChunkPart& part, const Usage& usage) const {
  begin_choice(out, part.index);
  out += ",\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]";
  if (part.prompt) {
    out += ",\"prompt_token_ids\":";
    append_ids(out, *part.prompt);
  }
  end_chunk(out, usage, nullptr);
}

void Format::write_extras(std::string& out, const ChunkPart& part) const {
  if (part.ids) {
    out += ",\"token_ids\":";
    append_ids(out, *part.ids);
  }
  if (part.prompt && plan_.shape == Shape::Completion) {
    out += ",\"prompt_token_ids\":";
    append_ids(out, *part.prompt);
  }
}

void Format::write_text(std::string& out, const ChunkPart& part) const {
  out += ",\"text\":\"";
  append_escaped(out, part.text);
  out += "\",\"logprobs\":";
  if (plan_.logprobs >= 0)
    write_text_logprobs(out, part.prompt_scores, part.tokens, part.character);
  else
    out += "null";
}

void Format::chunk(std::string& out, const ChunkPart& part, const Usage& usage) const {
  begin_choice(out, part.index);
  if (plan_.shape == Shape::Chat) {
    out += ",\"delta\":{\"content\":\"";
    append_escaped(out, part.text);
    out += "\"},";
    if (plan_.logprobs >= 0) {
      out += "\"logprobs\":";
      write_chat_logprobs(out, part.tokens);
      out += ',';
    }
    out += "\"finish_reason\":null";
  } else {
    write_text(out, part);
    out += ",\"finish_reason\":";
    if (part.finish_reason.empty()) {
      out += "null";
    } else {
      append_string(out, part.finish_reason);
      out += ",\"stop_reason\":";
      out += part.stop_reason;
    }
  }
  write_extras(out, part);
  out += "}]";
  end_chunk(out, usage, nullptr);
}

void Format::finish_chunk(std::string& out, const ChunkPart& part, const Usage& usage, const Timings* timings) const {
  begin_choice(out, part.index);
  if (plan_.shape == Shape::Chat) {
    out += ",\"delta\":{},\"finish_reason\":";
    append_string(out, part.finish_reason);
  } else {
    write_text(out, part);
    out += ",\"finish_reason\":";
    append_string(out, part.finish_reason);
    out += ",\"stop_reason\":";
    out += part.stop_reason;
  }
  write_extras(out, part);
  out += "}]";
  end_chunk(out, usage, timings);
}

void Format::usage_chunk(std::string& out, const Usage& usage, const Timings* timings) const {
  out += head_;
  out += "],\"usage\":";
  write_usage(out, usage);
  if (timings) {
    out += ",\"infernum\":";
    write_timings(out, *timings);
  }
  out += "}\n\n";
}

void Format::write_choice(std::string& out, const FinishedChoice& choice) const {
  const bool chat = plan_.shape == Shape::Chat;
  out += "{\"index\":";
  append_number(out, static_cast<int64_t>(choice.index));
  out += chat ? ",\"message\":{\"role\":\"assistant\",\"content\":" : ",\"text\":";
  append_string(out, choice.text);
  if (chat) out += ",\"refusal\":null}";
  out += ",\"logprobs\":";
  if (plan_.logprobs < 0)
    out += "null";
  else if (chat)
    write_chat_logprobs(out, choice.tokens);
  else
    write_text_logprobs(out, plan_.echo ? choice.prompt_scores : nullptr, choice.tokens, choice.character);
  out += ",\"finish_reason\":";
  append_string(out, choice.finish_reason);
  if (!chat) {
    out += ",\"stop_reason\":";
    out += choice.stop_reason;
    if (plan_.prompt_logprobs >= 0 && choice.prompt_scores) {
      out += ",\"prompt_logprobs\":";
      write_prompt_logprobs(out, *choice.prompt_scores);
    }
  }
  if (plan_.return_ids) {
    out += ",\"token_ids\":";
    append_ids(out, *choice.ids);
    if (!chat) {
      out += ",\"prompt_token_ids\":";
      append_ids(out, *choice.prompt);
    }
  }
  out += '}';
}

std::string Format::body(const std::vector<FinishedChoice>& choices, const Usage& usage, const Timings* timings) const {
  const bool chat = plan_.shape == Shape::Chat;
  std::string out = "{\"id\":";
  append_string(out, id_);
  out += chat ? ",\"object\":\"chat.completion\"," : ",\"object\":\"text_completion\",";
  out += fixed_ + ",\"choices\":[";
  for (const FinishedChoice& choice : choices) {
    if (&choice != &choices.front()) out += ',';
    write_choice(out, choice);
  }
  out += "],\"usage\":";
  write_usage(out, usage);
  if (chat) {
    out += ",\"service_tier\":\"default\"";
    if (plan_.return_ids) out += ",\"prompt_token_ids\":", append_ids(out, plan_.prompts.front());
    if (plan_.prompt_logprobs >= 0 && choices.front().prompt_scores) {
      out += ",\"prompt_logprobs\":";
      write_prompt_logprobs(out, *choices.front().prompt_scores);
    }
  }
  if (timings) {
    out += ",\"infernum\":";
    write_timings(out, *timings);
  }
  out += '}';
  return out;
}

}  // namespace infernum::server::openai
