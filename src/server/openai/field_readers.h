// Readers of the fields that are lists, objects or choices; and the checks that all fields share.
#pragma once
#include <initializer_list>
#include <string>
#include <string_view>

#include "server/openai/fields.h"

namespace infernum::server::openai {

[[noreturn]] void refuse_value(std::string_view param, const std::string& rule);
[[noreturn]] void refuse_unsupported(std::string_view param, const std::string& why);
/// An integer within the field's range; integral floats count as integers.
int64_t read_integer(const Json& value, std::string_view param, double min = -no_bound, double max = no_bound);
double read_number(const Json& value, std::string_view param);
bool read_boolean(const Json& value, std::string_view param);
std::string read_string(const Json& value, std::string_view param);
/// Remembers the name, or refuses it where fields are strict.
void unknown_field(const std::string& name, const DecodeLimits& limits, Asked& asked);
std::string element_path(std::string_view list, size_t index);

void read_stop(const Json&, const Field&, const DecodeLimits&, Asked&);
void read_stop_token_ids(const Json&, const Field&, const DecodeLimits&, Asked&);
void read_allowed_token_ids(const Json&, const Field&, const DecodeLimits&, Asked&);
void read_logprob_token_ids(const Json&, const Field&, const DecodeLimits&, Asked&);
void read_bad_words(const Json&, const Field&, const DecodeLimits&, Asked&);
void read_logit_bias(const Json&, const Field&, const DecodeLimits&, Asked&);
void read_stream_options(const Json&, const Field&, const DecodeLimits&, Asked&);
void read_prompt(const Json&, const Field&, const DecodeLimits&, Asked&);
void read_tokens(const Json&, const Field&, const DecodeLimits&, Asked&);
void read_truncation_side(const Json&, const Field&, const DecodeLimits&, Asked&);
void read_infernum(const Json&, const Field&, const DecodeLimits&, Asked&);
void read_request_id(const Json&, const Field&, const DecodeLimits&, Asked&);
void read_cache_salt(const Json&, const Field&, const DecodeLimits&, Asked&);
void read_reasoning_effort(const Json&, const Field&, const DecodeLimits&, Asked&);
void read_verbosity(const Json&, const Field&, const DecodeLimits&, Asked&);
void read_messages(const Json&, const Field&, const DecodeLimits&, Asked&);
void read_documents(const Json&, const Field&, const DecodeLimits&, Asked&);
void read_template_kwargs(const Json&, const Field&, const DecodeLimits&, Asked&);
void read_chat_template(const Json&, const Field&, const DecodeLimits&, Asked&);

// Values that ask for nothing pass; all others are refused.
void refuse_any(const Json&, const Field&, const DecodeLimits&, Asked&);           ///< nothing passes
void refuse_unless_empty(const Json&, const Field&, const DecodeLimits&, Asked&);  ///< false, 0, "", [] and {} pass
void refuse_unless_true(const Json&, const Field&, const DecodeLimits&, Asked&);
void refuse_response_format(const Json&, const Field&, const DecodeLimits&, Asked&);
void refuse_tools(const Json&, const Field&, const DecodeLimits&, Asked&);
void refuse_tool_choice(const Json&, const Field&, const DecodeLimits&, Asked&);
void refuse_modalities(const Json&, const Field&, const DecodeLimits&, Asked&);

// Fields without effect, whose type is checked all the same.
void check_metadata(const Json&, const Field&, const DecodeLimits&, Asked&);
void check_object(const Json&, const Field&, const DecodeLimits&, Asked&);
void check_string(const Json&, const Field&, const DecodeLimits&, Asked&);
void check_boolean(const Json&, const Field&, const DecodeLimits&, Asked&);
void check_service_tier(const Json&, const Field&, const DecodeLimits&, Asked&);

}  // namespace infernum::server::openai
