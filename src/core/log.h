// One log line to stderr; nothing here ever writes to stdout, which is for data.
#pragma once
#include <string_view>

namespace infernum {

void log_info(std::string_view message);
void log_warning(std::string_view message);

}  // namespace infernum
