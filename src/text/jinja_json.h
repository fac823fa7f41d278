// Between JSON documents and template values.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "text/jinja_value.h"

namespace infernum::jinja {

/// Where the strings of a document came from. Conversation: all from the request, but a message's role, where it is one of
/// the usual words, counts as the template's own: some templates spell their control tokens with it (<|user|>).
enum class Origin { Request, Conversation, Template };

/// Whether the brackets of a JSON text nest deeper than `limit`: asked before parsing, since walking the document recurses.
bool nests_deeper(std::string_view json, int limit);

Value from_document(Runtime& rt, const nlohmann::ordered_json& document, Origin origin, int depth = 0);

}  // namespace infernum::jinja
