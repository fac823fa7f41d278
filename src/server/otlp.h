// OtlpExporter: spans of requests to a collector of OpenTelemetry, by OTLP over HTTP in its JSON form.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>

#include "server/request_record.h"

namespace infernum::server {

struct OtlpOptions {
  std::string endpoint;  ///< http://HOST[:PORT][/PATH], to which /v1/traces is added
  std::string version;   ///< of this program
  std::string host;      ///< where it listens
  int port = 0;
  size_t most_waiting = 2048;  ///< requests
  double batch_seconds = 1;    ///< from a request's end until it is sent at the latest
  double timeout_seconds = 5;  ///< of each step of sending
};

/// One span per request, continuing its traceparent, with one each for queue, prefill and decode below it. Names are those of the
/// semantic conventions for generative AI. Never prompts or answers.
class OtlpExporter {
 public:
  /// Throws, naming the endpoint, if it is malformed. Whether anybody is there shows when the first batch is sent.
  explicit OtlpExporter(OtlpOptions options);
  /// Sends what waits, once.
  ~OtlpExporter();
  OtlpExporter(const OtlpExporter&) = delete;
  OtlpExporter& operator=(const OtlpExporter&) = delete;

  /// From any thread; never blocks. What does not fit in the queue, or cannot be sent, is dropped and counted.
  void request(const RequestRecord& record);
  struct Counts {
    uint64_t sent = 0, dropped = 0;  ///< requests
  };
  Counts counts() const;

 private:
  struct Waiting {
    RequestRecord record;
    double ended;  ///< seconds since 1970
  };
  void run();
  void send(const std::deque<Waiting>& batch);
  std::string body_of(const std::deque<Waiting>& batch);
  void append_request(std::string& out, const Waiting& waiting);
  std::string new_id(size_t digits);

  OtlpOptions options_;
  std::string host_, port_, path_;
  std::mt19937_64 random_{std::random_device{}()};  ///< of the thread
  mutable std::mutex mutex_;                        ///< of what follows
  std::condition_variable wake_;
  std::deque<Waiting> queue_;
  Counts counts_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace infernum::server
