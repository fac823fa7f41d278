#include "server/load/chunk_parser.h"

#include <simdjson.h>

#include "core/check.h"

namespace infernum::load {
namespace {

namespace dom = simdjson::dom;

bool has_text(const dom::object& object, std::string_view key) {
  std::string_view text;
  return object[key].get(text) == simdjson::SUCCESS && !text.empty();
}

bool has_items(const dom::object& object, std::string_view key) {
  dom::array items;
  return object[key].get(items) == simdjson::SUCCESS && items.size() > 0;
}

void read_choice(const dom::object& choice, Chunk& chunk) {
  std::string_view finish;
  if (choice["finish_reason"].get(finish) == simdjson::SUCCESS) chunk.finished = true;
  if (has_text(choice, "text")) chunk.content = true;
  for (const std::string_view key : {"delta", "message"}) {
    dom::object delta;
    if (choice[key].get(delta) != simdjson::SUCCESS) continue;
    for (const std::string_view text : {"content", "reasoning_content", "reasoning"})
      if (has_text(delta, text)) chunk.content = true;
    if (has_items(delta, "tool_calls")) chunk.content = true;
  }
}

std::string error_message(const dom::element& error) {
  std::string_view text;
  if (error["message"].get(text) == simdjson::SUCCESS || error.get(text) == simdjson::SUCCESS) return std::string(text.substr(0, 300));
  return "error without a message";
}

}  // namespace

struct ChunkParser::Parser {
  dom::parser json;
};

ChunkParser::ChunkParser() : parser_(std::make_unique<Parser>()) {}
ChunkParser::~ChunkParser() = default;

Chunk ChunkParser::parse(std::string_view data) {
  Chunk chunk;
  if (data == "[DONE]") {
    chunk.finished = true;
    return chunk;
  }
  dom::object root;
  check(parser_->json.parse(data.data(), data.size()).get(root) == simdjson::SUCCESS, "answer: no JSON object:", data.substr(0, 80));
  dom::element error;
  if (root["error"].get(error) == simdjson::SUCCESS && !error.is_null()) chunk.error = error_message(error);
  dom::array choices;
  if (root["choices"].get(choices) == simdjson::SUCCESS)
    for (const dom::element item : choices) {
      dom::object choice;
      if (item.get(choice) != simdjson::SUCCESS) continue;
      chunk.choices = true;
      read_choice(choice, chunk);
    }
  dom::object usage;
  if (root["usage"].get(usage) == simdjson::SUCCESS) {
    int64_t tokens = 0;
    if (usage["prompt_tokens"].get(tokens) == simdjson::SUCCESS) chunk.prompt_tokens = tokens;
    if (usage["completion_tokens"].get(tokens) == simdjson::SUCCESS) chunk.output_tokens = tokens;
  }
  return chunk;
}

}  // namespace infernum::load
