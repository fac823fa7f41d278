// The header traceparent of W3C Trace Context: which trace a request belongs to.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace infernum::server {

struct TraceParent {
  std::string trace, span;  ///< 32 and 16 hexadecimal digits
  bool sampled = true;      ///< who sent it records its own part
};

/// Nothing where the header is missing or malformed.
std::optional<TraceParent> parse_trace_parent(std::string_view header);

}  // namespace infernum::server
