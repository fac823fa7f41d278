#include "session.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "core/check.h"
#include "core/log.h"
#include "models/loader.h"
#include "ops/batch.h"

namespace infernum::app {
namespace fs = std::filesystem;
namespace {

// Signal handlers reach nothing but statics.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): a signal handler reaches nothing else.
volatile std::sig_atomic_t interrupts = 0, guards = 0;

void on_interrupt(int) {
  interrupts = interrupts + 1;
  if (guards == 0 || interrupts > 1) _exit(130);
}

/// Says on stderr what goes on, every few seconds, once a second has passed.
class Progress {
 public:
  explicit Progress(std::string what) : what_(std::move(what)), thread_([this] { watch(); }) {}
  ~Progress() {
    {
      std::lock_guard lock(mutex_);
      done_ = true;
    }
    wake_.notify_all();
    thread_.join();
    if (lines_ > 0 && isatty(2)) std::fprintf(stderr, "\r\033[K");
  }

 private:
  void watch() {
    const auto start = std::chrono::steady_clock::now();
    const bool terminal = isatty(2);
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, std::chrono::milliseconds(lines_ && !terminal ? 5000 : 1000), [this] { return done_; })) {
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      char line[200];
      std::snprintf(line, sizeof line, "%s ... %.0f s, %s", what_.c_str(), seconds,
                    human_bytes(static_cast<double>(resident_memory())).c_str());
      if (terminal)
        std::fprintf(stderr, "\r\033[K%s", line);
      else
        log_info(line);
      lines_++;
    }
  }
  std::string what_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool done_ = false;
  int lines_ = 0;
  std::thread thread_;
};

int64_t status_value(const char* key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind(key, 0) == 0) return std::stoll(line.substr(std::string_view(key).size())) * 1024;
  return 0;
}

DType parse_dtype(const std::string& flag, const std::string& name) {
  for (auto [text, dtype] : {std::pair{"f32", DType::F32}, {"f16", DType::F16}, {"bf16", DType::BF16}})
    if (name == text) return dtype;
  fail("this flag takes f32, f16 or bf16", flag, name);
}

}  // namespace

std::string resolve_model(const std::string& reference) {
  if (!reference.empty()) {
    check(fs::exists(reference), "no such model: a folder with config.json, a .safetensors file or a .gguf file", reference);
    return reference;
  }
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  for (fs::path folder = program.parent_path(); folder.has_relative_path(); folder = folder.parent_path())
    for (const char* place : {"share/infernum/models/storyteller", "models/storyteller"})
      if (fs::exists(folder / place / "config.json", error)) return folder / place;
  fail("the bundled model was not found beside the program; name a model", program.string());
}

ModelOptions model_options(const ModelFlags& flags, const std::string&) {
  ModelOptions o;
  o.threads = flags.threads;
  o.ranks = flags.ranks;
  o.place = parse_place(flags.device);
  o.gpu_memory_utilization = flags.gpu_memory_utilization;
  o.dtype = flags.dtype == "auto" ? (o.place.cuda ? DType::BF16 : DType::F32) : parse_dtype("--dtype", flags.dtype);
  o.cache_dtype = flags.kv_cache_dtype == "auto" ? o.dtype : parse_dtype("--kv-cache-dtype", flags.kv_cache_dtype);
  o.max_model_len = flags.max_model_len;
  o.isa = flags.isa;
  o.fusion = flags.fusion == "off" ? Fusion::Off : flags.fusion == "check" ? Fusion::Check : Fusion::On;
  check(flags.fusion == "off" || flags.fusion == "on" || flags.fusion == "check", "--fusion takes off, on or check", flags.fusion);
  return o;
}

Session::Session(const ModelFlags& flags, bool bf16_frequencies)
    : checkpoint(open_checkpoint(resolve_model(flags.model))), options(model_options(flags, checkpoint.config_json)) {
  options.bf16_frequencies = bf16_frequencies;
  const Progress progress("loading " + checkpoint.path);
  model = load_model(checkpoint, options);
}

int64_t peak_memory() { return status_value("VmHWM:"); }
int64_t resident_memory() { return status_value("VmRSS:"); }

std::string human_bytes(double bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int u = 0;
  for (; bytes >= 1024 && u < 4; u++) bytes /= 1024;
  char text[32];
  std::snprintf(text, sizeof text, u == 0 ? "%.0f %s" : "%.1f %s", bytes, units[u]);
  return text;
}

void end_on_interrupt() {
  struct sigaction action = {};
  action.sa_handler = on_interrupt;  // without SA_RESTART: reading a line must notice
  sigaction(SIGINT, &action, nullptr);
}

Interruptible::Interruptible() {
  interrupts = 0;
  guards = guards + 1;
}
Interruptible::~Interruptible() { guards = guards - 1; }
bool Interruptible::interrupted() { return interrupts > 0; }

std::string read_stdin() {
  constexpr size_t limit = 256 << 20;
  std::string text;
  char part[1 << 16];
  for (size_t n; (n = std::fread(part, 1, sizeof part, stdin)) > 0;) {
    text.append(part, n);
    check(text.size() <= limit, "standard input is longer than", limit, "bytes");
  }
  return text;
}

bool stdin_is_piped() {
  struct stat s;
  return fstat(0, &s) == 0 && (S_ISFIFO(s.st_mode) || S_ISREG(s.st_mode));
}

int64_t cache_tokens(const Model& model) {
  const ModelInfo& info = model.info();
  const int64_t left = model.device_memory_left(), memory = left > 0 ? left : sysconf(_SC_AVPHYS_PAGES) * sysconf(_SC_PAGESIZE) / 2,
                available = memory - info.bytes_per_sequence(),
                fitting = std::max<int64_t>(1, available / std::max<int64_t>(1, info.bytes_per_token() * block_tokens)) * block_tokens;
  if (fitting < info.context)
    log_warning("the key-value cache is limited to " + std::to_string(fitting) + " tokens by the free memory; the model's context is " +
                std::to_string(info.context));
  return std::min(info.context, fitting);
}

std::string printable(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); i++) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool c1 = c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;  // U+0080..U+009F
    if (c1)
      i++;
    else if (c == '\n' || c == '\t' || (c >= 0x20 && c != 0x7f))
      out += text[i];
  }
  return out;
}

}  // namespace infernum::app
