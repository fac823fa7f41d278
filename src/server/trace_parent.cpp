#include "server/trace_parent.h"

#include <algorithm>

namespace infernum::server {
namespace {

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_zero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

}  // namespace

std::optional<TraceParent> parse_trace_parent(std::string_view header) {
  constexpr size_t size = 55;  // of version 00: 00-TRACE-SPAN-FLAGS; later ones may have more behind a dash
  if (header.size() < size || header[2] != '-' || header[35] != '-' || header[52] != '-') return {};
  const std::string_view version = header.substr(0, 2), trace = header.substr(3, 32), span = header.substr(36, 16),
                         flags = header.substr(53, 2);
  if (!is_hex(version) || !is_hex(trace) || !is_hex(span) || !is_hex(flags) || version == "ff" || is_zero(trace) || is_zero(span))
    return {};
  if (header.size() > size && (version == "00" || header[size] != '-')) return {};
  const int last = flags[1] <= '9' ? flags[1] - '0' : flags[1] - 'a' + 10;
  return TraceParent{std::string(trace), std::string(span), (last & 1) != 0};
}

}  // namespace infernum::server
