// Receiver: what tests of engines collect of their events.
#pragma once
#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <mutex>

#include "runtime/engine.h"

namespace infernum::test {

/// Collects events and holds them to the contract: one end per request, nothing behind it.
class Receiver {
 public:
  explicit Receiver(Engine& engine, bool keep = true) {
    engine.on_step([this, keep](std::vector<EngineEvent> events) { receive(std::move(events), keep); });
  }
  /// Waits until so many requests have ended.
  void wait_for(size_t ends) {
    std::unique_lock lock(mutex_);
    const bool done = changed_.wait_for(lock, std::chrono::seconds(60), [&] { return ends_.size() >= ends; });
    ASSERT_TRUE(done) << ends_.size() << " of " << ends << " requests ended";
  }
  RequestEnd end(RequestId id) {
    std::lock_guard lock(mutex_);
    const auto it = ends_.find(id);
    EXPECT_NE(it, ends_.end()) << "request " << id << " has not ended";
    return it == ends_.end() ? RequestEnd{} : it->second;
  }
  std::vector<ScoredToken> scored(RequestId id) {
    std::lock_guard lock(mutex_);
    return tokens_[id];
  }
  std::vector<ScoredToken> prompt(RequestId id) {
    std::lock_guard lock(mutex_);
    return prompts_[id];
  }
  std::vector<int32_t> tokens(RequestId id) {
    std::vector<int32_t> ids;
    for (const ScoredToken& t : scored(id)) ids.push_back(t.id);
    return ids;
  }
  int64_t count() {
    std::lock_guard lock(mutex_);
    return count_;
  }
  size_t ended() {
    std::lock_guard lock(mutex_);
    return ends_.size();
  }

 private:
  void receive(std::vector<EngineEvent> events, bool keep) {
    std::lock_guard lock(mutex_);
    for (EngineEvent& e : events) {
      EXPECT_EQ(ends_.count(e.request), 0u) << "an event behind the end of " << e.request;
      count_ += static_cast<int64_t>(e.tokens.size());
      if (keep && !e.prompt.empty()) {
        EXPECT_TRUE(prompts_[e.request].empty()) << "a prompt is scored once";
        prompts_[e.request] = std::move(e.prompt);
      }
      if (keep)
        for (ScoredToken& t : e.tokens) tokens_[e.request].push_back(std::move(t));
      if (e.end) ends_.emplace(e.request, std::move(*e.end));
    }
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<RequestId, RequestEnd> ends_;
  std::map<RequestId, std::vector<ScoredToken>> tokens_, prompts_;
  int64_t count_ = 0;
};

}  // namespace infernum::test
