// Status line and header of an answer.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "server/http.h"

namespace infernum::server {

struct ResponseHead {
  int status = 200;
  bool http_1_0 = false, keep_alive = true, chunked = false;
  std::optional<size_t> content_length;  ///< neither this nor chunked: until the connection closes
  std::string_view content_type, request_id, date;
  int64_t processing_ms = -1;
  std::string_view cors_origin;  ///< empty: none
};

/// Line breaks and other control characters in values become spaces.
void append_head(std::string& out, const ResponseHead& head, const HeaderFields& more, const HeaderFields& yet_more);

std::string_view status_text(int status);

}  // namespace infernum::server
