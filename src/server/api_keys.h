// ApiKeys: who may come in by which key, and how much of it. Only hashes of the keys are kept.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "server/access.h"
#include "server/rate_limit.h"

namespace infernum::server {

struct ApiKeyOptions {
  std::vector<std::string> keys;  ///< as given by flag or environment
  std::vector<std::string> admin_keys;
  std::string file;   ///< see docs/server.md for its lines; empty: none
  RateLimits limits;  ///< of keys that have none of their own, and of clients without keys together
};

/// On the I/O thread.
class ApiKeys final : public Doorkeeper {
 public:
  /// Throws, naming the file and line, if a key is malformed or the file cannot be read.
  explicit ApiKeys(ApiKeyOptions options);
  ~ApiKeys() override;

  /// Without keys everybody may call everything but admin routes.
  bool protects() const;
  size_t size() const;
  /// Keys and limits that have been read and are not in force yet.
  struct Table;
  /// Throws as the constructor does.
  std::shared_ptr<const Table> read(ApiKeyOptions options) const;
  /// Keys that stay keep what they have used of their rates.
  void take(std::shared_ptr<const Table> table);
  /// Reloads if the file is another one than that last seen; true if it did.
  bool reload_if_changed();

  std::optional<HttpResponse> identify(HttpRequest& request, Access access) override;
  Admission admit(const HttpRequest& request) override;

 private:
  struct Entry;
  struct File;
  const Entry* find(std::string_view presented) const;
  void add(Table& table, const std::string& key, const std::string& name, bool admin, const RateLimits& limits) const;
  void read_file(Table& table) const;

  std::shared_ptr<const Table> table_;
  std::shared_ptr<RateLimiter> anonymous_;
  std::unique_ptr<File> seen_;  ///< the last one looked at, good or bad
};

}  // namespace infernum::server
