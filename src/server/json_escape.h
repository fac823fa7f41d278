// A JSON string, quotes included, of any bytes.
#pragma once
#include <string>
#include <string_view>

namespace infernum::server {

/// Control characters (C1 too, so that no terminal obeys them) are escaped; what is not UTF-8 becomes U+FFFD.
void append_json_string(std::string& out, std::string_view text);

}  // namespace infernum::server
