// ApiError: why a request is refused, in the words and codes of the OpenAI API. Thrown while a request is read, caught at the route.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/http.h"

namespace infernum::server::openai {

struct ApiError {
  int status = 400;
  std::string message;
  std::string code = "invalid_value";
  std::string param;                                              ///< dotted path of the field
  std::vector<std::pair<std::string, std::string>> headers = {};  ///< Retry-After, x-should-retry
};

HttpResponse to_response(const ApiError& error);
/// {"error":{...}} in one line, as an event inside of a stream.
std::string to_event(const ApiError& error);
/// What an Error says to clients: without the place in our code that noticed.
std::string public_message(const std::exception& error);

}  // namespace infernum::server::openai
