// The chat page: GET / and the files that it loads.
#pragma once
#include "server/http.h"

namespace infernum::server {

/// Anybody may load the page; what it asks the API for needs a key where keys are set.
std::vector<Route> page_routes();

}  // namespace infernum::server
