#include "server/openai/api_error.h"

#include <exception>

namespace infernum::server::openai {

HttpResponse to_response(const ApiError& error) {
  HttpResponse response = error_response(error.status, error.message, error.code, error.param);
  response.headers.insert(response.headers.end(), error.headers.begin(), error.headers.end());
  return response;
}

std::string to_event(const ApiError& error) {
  return "data: " + error_response(error.status, error.message, error.code, error.param).body + "\n\n";
}

std::string public_message(const std::exception& error) {
  std::string text = error.what();
  if (!text.empty() && text.back() == ']')
    if (const size_t place = text.rfind(" ["); place != std::string::npos) text.resize(place);
  return text;
}

}  // namespace infernum::server::openai
