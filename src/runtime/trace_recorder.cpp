#include "runtime/trace_recorder.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "core/check.h"
#include "core/log.h"

namespace infernum {
namespace {

constexpr int steps_thread = 1, ops_thread = 2, first_gpu_thread = 10;
/// Each event ends in a comma but this one, which ends the list.
constexpr std::string_view tail = "{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\",\"args\":{\"name\":\"infernum\"}}]}\n";

}  // namespace

TraceRecorder::TraceRecorder(const std::string& path, int64_t most_bytes)
    : file_(std::fopen(path.c_str(), "w")),
      path_(path),
      bytes_left_(most_bytes - static_cast<int64_t>(tail.size())),
      start_(std::chrono::steady_clock::now()) {
  check(file_ != nullptr, "trace: the file cannot be opened", path, std::strerror(errno));
  write("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
  name_lane(steps_thread, "steps");
  name_lane(ops_thread, "ops");
}

TraceRecorder::~TraceRecorder() {
  if (file_) std::fputs(tail.data(), file_.get());
}

double TraceRecorder::microseconds(SteadyTime at) const { return std::chrono::duration<double, std::micro>(at - start_).count(); }

void TraceRecorder::span(int thread, std::string_view name, SteadyTime start, SteadyTime end, const std::string& arguments) {
  write(fmt::format(R"({{"ph":"X","pid":1,"tid":{},"name":"{}","ts":{:.3f},"dur":{:.3f},"args":{{{}}}}},)"
                    "\n",
                    thread, name, microseconds(start), microseconds(end) - microseconds(start), arguments));
}

void TraceRecorder::edge(char phase, std::string_view name, RequestId id, SteadyTime at, const std::string& arguments) {
  write(fmt::format(R"({{"ph":"{}","cat":"request","id":{},"pid":1,"tid":0,"name":"{}","ts":{:.3f},"args":{{{}}}}},)"
                    "\n",
                    phase, id, name, microseconds(at), arguments));
}

void TraceRecorder::step(SteadyTime start, SteadyTime computed, SteadyTime end, int64_t sequences, int64_t tokens) {
  if (!file_) return;
  span(steps_thread, "step", start, end, fmt::format(R"("sequences":{},"tokens":{})", sequences, tokens));
  span(steps_thread, "model", start, computed);
  span(steps_thread, "sampling", computed, end);
}

void TraceRecorder::request(RequestId id, SteadyTime submitted, SteadyTime started, SteadyTime first_token, SteadyTime end,
                            const RequestBill& bill) {
  if (!file_) return;
  edge('b', "request", id, submitted,
       fmt::format(R"("prompt_tokens":{},"cached_tokens":{},"generated_tokens":{},"preemptions":{})", bill.prompt_tokens,
                   bill.cached_tokens, bill.generated_tokens, bill.preemptions));
  const auto phase = [&](std::string_view name, SteadyTime from, SteadyTime to) {
    edge('b', name, id, from);
    edge('e', name, id, to);
  };
  phase("queued", submitted, started);
  phase("prefill", started, first_token);
  phase("decode", first_token, end);
  edge('e', "request", id, end);
}

void TraceRecorder::op(const OpTime& op) {
  if (!file_) return;
  if (op.gpu >= 0 && gpus_.insert(op.gpu).second) name_lane(first_gpu_thread + op.gpu, "GPU " + std::to_string(op.gpu));
  const auto length = std::chrono::duration_cast<SteadyTime::duration>(std::chrono::duration<double>(op.seconds));
  span(op.gpu >= 0 ? first_gpu_thread + op.gpu : ops_thread, op.op, op.start, op.start + length);
}

void TraceRecorder::name_lane(int thread, std::string_view name) {
  write(fmt::format(R"({{"ph":"M","pid":1,"tid":{},"name":"thread_name","args":{{"name":"{}"}}}},)"
                    "\n",
                    thread, name));
}

/// Names are ops' and our own, so nothing in them needs escaping.
void TraceRecorder::write(const std::string& event) {
  if (!file_) return;
  bytes_left_ -= static_cast<int64_t>(event.size());
  const bool room = bytes_left_ >= 0;
  if (room && std::fwrite(event.data(), 1, event.size(), file_.get()) == event.size()) return;
  const std::string why = room ? std::strerror(errno) : "it is as large as it may be";
  if (!room) std::fputs(tail.data(), file_.get());
  file_.reset();
  log_warning("trace: " + path_ + " ends here: " + why);
}

}  // namespace infernum
