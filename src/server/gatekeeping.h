// Rules about headers that every request is held to before its handler sees it.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/http.h"
#include "server/router.h"

namespace infernum::server {

/// Is this a name that only the machine itself, or `allowed`, answers to? Against pages that resolve their own name to loopback.
bool host_is_local(std::string_view host_field, const std::vector<std::string>& allowed);

/// The Origin of the request if the list has it.
std::string_view allowed_origin(const HttpRequest& request, const std::vector<std::string>& origins);

/// The answer to OPTIONS.
HttpResponse answer_options(const HttpRequest& request, const Router& router, const std::vector<std::string>& origins);

/// 404 or 405.
HttpResponse no_such_route(const HttpRequest& request, const Router::Match& match);

/// 415, where the body's type or encoding is not what the route takes.
std::optional<HttpResponse> check_content(const HttpRequest& request, const Route& route);

}  // namespace infernum::server
