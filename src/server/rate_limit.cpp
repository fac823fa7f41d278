#include "server/rate_limit.h"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace infernum::server {

void TokenBucket::set_rate(int64_t per_minute, Time now) {
  const double before = per_minute_ > 0 ? level(now) / static_cast<double>(per_minute_) : 1;
  per_minute_ = per_minute;
  level_ = before * static_cast<double>(per_minute);
  at_ = now;
}

double TokenBucket::level(Time now) const {
  const double passed = std::chrono::duration<double>(now - at_).count();
  return std::min(static_cast<double>(per_minute_), level_ + passed * static_cast<double>(per_minute_) / 60);
}

void TokenBucket::take(double amount, Time now) {
  level_ = level(now) - amount;
  at_ = now;
}

double TokenBucket::seconds_until(double amount, Time now) const {
  return std::max(0., (amount - level(now)) * 60 / static_cast<double>(std::max<int64_t>(1, per_minute_)));
}

void RateLimiter::set_limits(const RateLimits& limits, Time now) {
  limits_ = limits;
  if (requests_.per_minute() != limits.requests_per_minute) requests_.set_rate(limits.requests_per_minute, now);
  if (tokens_.per_minute() != limits.tokens_per_minute) tokens_.set_rate(limits.tokens_per_minute, now);
}

RateLimiter::Verdict RateLimiter::begin(Time now) {
  if (limits_.concurrent > 0 && running_ >= limits_.concurrent) return {1, "requests at once", limits_.concurrent};
  // Tokens are charged when they are known; until the debt is paid no request begins.
  if (limits_.tokens_per_minute > 0 && tokens_.level(now) < 1)
    return {std::max(1e-3, tokens_.seconds_until(1, now)), "tokens per minute", limits_.tokens_per_minute};
  if (limits_.requests_per_minute > 0) {
    if (requests_.level(now) < 1)
      return {std::max(1e-3, requests_.seconds_until(1, now)), "requests per minute", limits_.requests_per_minute};
    requests_.take(1, now);
  }
  running_++;
  return {};
}

void RateLimiter::end(int64_t tokens, Time now) {
  running_--;
  if (limits_.tokens_per_minute > 0) tokens_.take(static_cast<double>(std::max<int64_t>(0, tokens)), now);
}

std::vector<std::pair<std::string, std::string>> RateLimiter::headers(Time now) const {
  std::vector<std::pair<std::string, std::string>> out;
  const auto add = [&](const std::string& what, const TokenBucket& bucket) {
    if (bucket.per_minute() <= 0) return;
    const double full = bucket.seconds_until(static_cast<double>(bucket.per_minute()), now);
    out.emplace_back("x-ratelimit-limit-" + what, std::to_string(bucket.per_minute()));
    out.emplace_back("x-ratelimit-remaining-" + what, std::to_string(static_cast<int64_t>(std::max(0., std::floor(bucket.level(now))))));
    out.emplace_back("x-ratelimit-reset-" + what, std::to_string(static_cast<int64_t>(std::ceil(full * 1000))) + "ms");
  };
  add("requests", requests_);
  add("tokens", tokens_);
  return out;
}

}  // namespace infernum::server
