#include "server/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <sstream>

#include "checkpoint/text_file.h"
#include "core/check.h"

namespace infernum::server {
namespace {

using Hash = std::array<unsigned char, 32>;
constexpr int64_t largest_file = 16 << 20;

Hash sha256(std::string_view text) {
  Hash hash{};
  check(EVP_Digest(text.data(), text.size(), hash.data(), nullptr, EVP_sha256(), nullptr) == 1, "SHA-256 is not to be had");
  return hash;
}

std::string hex(const Hash& hash, size_t bytes) {
  constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (size_t i = 0; i < bytes; i++) {
    out += digits[hash[i] >> 4];
    out += digits[hash[i] & 15];
  }
  return out;
}

bool parse_hash(std::string_view text, Hash& hash) {
  if (text.size() != 64) return false;
  for (size_t i = 0; i < 32; i++) {
    const auto [end, error] = std::from_chars(text.data() + 2 * i, text.data() + 2 * i + 2, hash[i], 16);
    if (error != std::errc() || end != text.data() + 2 * i + 2) return false;
  }
  return true;
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
  });
}

/// "name=key", "key"; a key may end in = itself.
void split_name(std::string& key, std::string& name) {
  const size_t equals = key.find('=');
  if (equals == std::string::npos || key.find_first_not_of('=', equals) == std::string::npos || !is_name(key.substr(0, equals))) return;
  name = key.substr(0, equals);
  key = key.substr(equals + 1);
}

std::string_view presented_key(const HttpRequest& request) {
  std::string_view value = request.header("authorization");
  constexpr std::string_view scheme = "bearer ";
  if (value.size() > scheme.size() &&
      std::equal(scheme.begin(), scheme.end(), value.begin(), [](char a, char b) { return a == (b | 0x20); })) {
    value.remove_prefix(scheme.size());
    while (value.starts_with(' ')) value.remove_prefix(1);
    return value;
  }
  value = request.header("x-api-key");
  return value.empty() ? request.header("api-key") : value;
}

HttpResponse unauthorized(std::string_view message) {
  HttpResponse response = error_response(401, message, "invalid_api_key");
  response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

class RunningRequest final : public Grant {
 public:
  explicit RunningRequest(std::shared_ptr<RateLimiter> limiter) : limiter_(std::move(limiter)) {}
  ~RunningRequest() override { limiter_->end(tokens_, std::chrono::steady_clock::now()); }
  void charge(int64_t tokens) override { tokens_ = tokens; }

 private:
  std::shared_ptr<RateLimiter> limiter_;
  int64_t tokens_ = 0;
};

}  // namespace

struct ApiKeys::Entry {
  Hash hash{};
  std::string name;
  bool admin = false;
  RateLimits limits;
  std::shared_ptr<RateLimiter> limiter;
};

struct ApiKeys::File {
  struct timespec changed {};
  ino_t inode = 0;
  off_t bytes = 0;
  bool operator==(const File& other) const {
    return changed.tv_sec == other.changed.tv_sec && changed.tv_nsec == other.changed.tv_nsec && inode == other.inode &&
           bytes == other.bytes;
  }
  static File of(const std::string& path) {
    struct stat s {};
    return stat(path.c_str(), &s) == 0 ? File{s.st_mtim, s.st_ino, s.st_size} : File{};
  }
};

struct ApiKeys::Table {
  ApiKeyOptions options;
  std::vector<std::shared_ptr<Entry>> entries;
  File file;  ///< as it was when it was read
};

ApiKeys::ApiKeys(ApiKeyOptions options)
    : table_(std::make_shared<const Table>()), anonymous_(std::make_shared<RateLimiter>()), seen_(std::make_unique<File>()) {
  take(read(std::move(options)));
}
ApiKeys::~ApiKeys() = default;

bool ApiKeys::protects() const { return !table_->options.keys.empty() || !table_->options.file.empty(); }
size_t ApiKeys::size() const { return table_->entries.size(); }

void ApiKeys::add(Table& table, const std::string& key, const std::string& name, bool admin, const RateLimits& limits) const {
  const bool printable = std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < 0x7f; });
  check(printable && !key.empty(), "an API key is a word of printable ASCII characters");
  auto entry = std::make_shared<Entry>();
  constexpr std::string_view prefix = "sha256:";
  if (key.starts_with(prefix))
    check(parse_hash(std::string_view(key).substr(prefix.size()), entry->hash), "sha256: is followed by 64 hexadecimal digits");
  else
    entry->hash = sha256(key);
  entry->name = name.empty() ? hex(entry->hash, 4) : name;
  entry->admin = admin;
  entry->limits = limits;
  const auto& known = table_->entries;
  const auto old = std::find_if(known.begin(), known.end(), [&](const auto& e) { return e->hash == entry->hash; });
  // The limits are set once all keys have proved to be good.
  entry->limiter = old == known.end() ? std::make_shared<RateLimiter>() : (*old)->limiter;
  table.entries.push_back(std::move(entry));
}

void ApiKeys::read_file(Table& table) const {
  const std::string& path = table.options.file;
  std::istringstream lines(read_text_file(path, largest_file));
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    number++;
    std::istringstream words(line);
    std::string key, word, name;
    if (!(words >> key) || key[0] == '#') continue;
    bool admin = false;
    RateLimits limits = table.options.limits;
    split_name(key, name);
    while (words >> word && word[0] != '#') {
      const size_t equals = std::min(word.find('='), word.size());
      const std::string what = word.substr(0, equals), value = equals < word.size() ? word.substr(equals + 1) : "";
      int64_t* limit = what == "requests_per_minute" ? &limits.requests_per_minute
                       : what == "tokens_per_minute" ? &limits.tokens_per_minute
                       : what == "concurrent"        ? &limits.concurrent
                                                     : nullptr;
      admin = admin || word == "admin";
      if (word == "admin") continue;
      const char* end = value.data() + value.size();
      const bool good = limit && std::from_chars(value.data(), end, *limit).ptr == end && !value.empty() && *limit >= 0;
      check(good, "behind a key come requests_per_minute=N, tokens_per_minute=N, concurrent=N or admin, not", word, path, number);
    }
    try {
      add(table, key, name, admin, limits);
    } catch (const Error& e) {
      fail("a line of the API key file is malformed", path, number, e.what());
    }
  }
}

std::shared_ptr<const ApiKeys::Table> ApiKeys::read(ApiKeyOptions options) const {
  auto table = std::make_shared<Table>();
  table->options = std::move(options);
  table->file = File::of(table->options.file);
  for (const bool admin : {false, true})
    for (const std::string& key : admin ? table->options.admin_keys : table->options.keys)
      add(*table, key, admin ? "admin" : "", admin, table->options.limits);
  if (!table->options.file.empty()) read_file(*table);
  return table;
}

void ApiKeys::take(std::shared_ptr<const Table> table) {
  const auto now = std::chrono::steady_clock::now();
  for (const auto& entry : table->entries) entry->limiter->set_limits(entry->limits, now);
  anonymous_->set_limits(table->options.limits, now);
  *seen_ = table->file;
  table_ = std::move(table);
}

bool ApiKeys::reload_if_changed() {
  const std::string& path = table_->options.file;
  const File file = File::of(path);
  if (path.empty() || file == *seen_) return false;
  *seen_ = file;  // a bad file is complained about once, not at every look
  take(read(table_->options));
  return true;
}

const ApiKeys::Entry* ApiKeys::find(std::string_view presented) const {
  if (presented.empty()) return nullptr;
  const Hash hash = sha256(presented);
  const Entry* found = nullptr;
  // Every entry is compared in full, so that the time taken says nothing about the keys.
  for (const auto& entry : table_->entries)
    if (CRYPTO_memcmp(hash.data(), entry->hash.data(), hash.size()) == 0 && !found) found = entry.get();
  return found;
}

std::optional<HttpResponse> ApiKeys::identify(HttpRequest& request, Access access) {
  const std::string_view presented = presented_key(request);
  const Entry* entry = find(presented);
  if (entry) request.key = entry->name;
  if (access == Access::Public || (access == Access::Key && (entry || !protects()))) return std::nullopt;
  if (access == Access::Admin && entry && entry->admin) return std::nullopt;
  if (access == Access::Admin && entry) return error_response(403, "this needs an admin key", "admin_key_required");
  if (presented.empty()) return unauthorized("an API key is needed: Authorization: Bearer KEY");
  return unauthorized("the API key is not known here");
}

Doorkeeper::Admission ApiKeys::admit(const HttpRequest& request) {
  const Entry* entry = find(presented_key(request));
  const std::shared_ptr<RateLimiter> limiter = entry ? entry->limiter : anonymous_;
  const auto now = std::chrono::steady_clock::now();
  const RateLimiter::Verdict verdict = limiter->begin(now);
  Admission admission;
  admission.headers = limiter->headers(now);
  if (verdict.wait_seconds > 0) {
    admission.refusal = error_response(
        429, "the limit of this key is reached: " + std::to_string(verdict.limit) + " " + std::string(verdict.what), "rate_limit_exceeded");
    const auto milliseconds = static_cast<int64_t>(std::ceil(verdict.wait_seconds * 1000));
    admission.refusal->headers.emplace_back("Retry-After", std::to_string((milliseconds + 999) / 1000));
    admission.refusal->headers.emplace_back("retry-after-ms", std::to_string(milliseconds));
  } else {
    admission.grant = std::make_unique<RunningRequest>(limiter);
  }
  return admission;
}

}  // namespace infernum::server
