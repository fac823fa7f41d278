// Rates of one API key: requests and tokens per minute by token buckets, and requests at once.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace infernum::server {

/// 0: no limit.
struct RateLimits {
  int64_t requests_per_minute = 0, tokens_per_minute = 0, concurrent = 0;
};

/// Holds at most a minute's worth; empty ones fill up at an even rate. May be overdrawn.
class TokenBucket {
 public:
  using Time = std::chrono::steady_clock::time_point;
  void set_rate(int64_t per_minute, Time now);
  double level(Time now) const;
  void take(double amount, Time now);
  double seconds_until(double amount, Time now) const;
  int64_t per_minute() const { return per_minute_; }

 private:
  int64_t per_minute_ = 0;
  double level_ = 0;
  Time at_;
};

class RateLimiter {
 public:
  using Time = TokenBucket::Time;
  void set_limits(const RateLimits& limits, Time now);
  /// Seconds to wait, 0 if the request may go ahead and has been counted; `what` then says which limit it is.
  struct Verdict {
    double wait_seconds = 0;
    std::string_view what;
    int64_t limit = 0;
  };
  Verdict begin(Time now);
  void end(int64_t tokens, Time now);
  /// x-ratelimit-*: what is left, and until when all is there again.
  std::vector<std::pair<std::string, std::string>> headers(Time now) const;

 private:
  RateLimits limits_;
  TokenBucket requests_, tokens_;
  int64_t running_ = 0;
};

}  // namespace infernum::server
