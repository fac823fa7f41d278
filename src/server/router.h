// From a request target to the route that serves it.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/http.h"

namespace infernum::server {

struct Target {
  std::string path, query;
};

/// The path of a request target: decoded, repeated and trailing slashes dropped, `prefix` taken off; an
/// empty path if it is not below `prefix`. Nothing if it is malformed, climbs by `..` or holds control characters.
std::optional<Target> parse_target(std::string_view target, std::string_view prefix);

class Router {
 public:
  Router() = default;
  explicit Router(std::vector<Route> routes);

  struct Match {
    const Route* route = nullptr;  ///< null: none for this method
    std::string allow;             ///< methods of this path; empty: no such path
    std::string path;              ///< in the form of the route, with or without /v1
  };
  Match find(std::string_view method, std::string_view path, std::string_view query = {}) const;
  const std::vector<Route>& routes() const { return routes_; }

 private:
  std::vector<Route> routes_;
};

}  // namespace infernum::server
