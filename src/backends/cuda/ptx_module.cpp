#include "backends/cuda/ptx_module.h"

#include <cuda.h>
#include <dlfcn.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <vector>

#include "backends/cuda/error.h"

namespace infernum {
namespace {

constexpr int64_t most_bytes = int64_t{256} << 20;  // of a file
constexpr size_t log_bytes = 8192;
constexpr int64_t usual_shared_bytes = 48 << 10;  // more must be asked for
constexpr int64_t most_blocks[] = {0x7fffffff, 65535, 65535};

/// The functions in use. The runtime's own (cudaLibraryLoadData()) are newer than CUDA 12.4, with which this must still build; every
/// driver of CUDA 12 has these, but for the last.
struct Driver {
  void* handle = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  template <class F>
  F* find(const char* name) const {
    return handle ? reinterpret_cast<F*>(dlsym(handle, name)) : nullptr;
  }
  decltype(&cuModuleLoadDataEx) load = find<decltype(cuModuleLoadDataEx)>("cuModuleLoadDataEx");
  decltype(&cuModuleUnload) unload = find<decltype(cuModuleUnload)>("cuModuleUnload");
  decltype(&cuModuleGetFunction) function = find<decltype(cuModuleGetFunction)>("cuModuleGetFunction");
  decltype(&cuFuncSetAttribute) set_attribute = find<decltype(cuFuncSetAttribute)>("cuFuncSetAttribute");
  decltype(&cuLaunchKernel) launch = find<decltype(cuLaunchKernel)>("cuLaunchKernel");
  decltype(&cuFuncGetParamInfo) parameter = find<decltype(cuFuncGetParamInfo)>("cuFuncGetParamInfo");  // null before CUDA 12.4

  bool complete() const { return load && unload && function && set_attribute && launch; }
};

/// The driver's codes are the runtime's.
void require(CUresult code, const std::string& call) { cuda_check(code, call, "ptx"); }

/// Text of PTX, an ELF file (cubin) or a fatbin.
void check_code(const std::string& name, const std::string& code) {
  check(!code.empty(), "ptx: no code", name);
  if (code.starts_with("\x7f"
                       "ELF") ||
      code.starts_with("\x50\xed\x55\xba"))
    return;
  check(code.find(".version") != code.npos, "ptx: neither PTX, which has a line .version, nor a cubin or fatbin", name);
  check(code.find('\0') == code.npos, "ptx: a zero byte in the text", name, "at", code.find('\0'));
}

std::string text_of(const int64_t (&n)[3]) { return std::to_string(n[0]) + "x" + std::to_string(n[1]) + "x" + std::to_string(n[2]); }

}  // namespace

struct PtxModule::State {
  struct Kernel {
    std::string about;  ///< for messages
    CUfunction function = nullptr;
    std::vector<size_t> parameter_bytes;
    bool parameters_known = false;
    int64_t shared_bytes = usual_shared_bytes;  ///< that it may have
  };

  std::string name;
  Driver driver;
  CUmodule module = nullptr;
  std::map<std::string, Kernel> kernels;

  State(std::string n, const std::string& code) : name(std::move(n)) {
    check_code(name, code);
    check(driver.handle != nullptr, "ptx: no NVIDIA driver on this machine (libcuda.so.1)", name);
    check(driver.complete(), "ptx: the NVIDIA driver is too old, one of CUDA 12 is needed", name);
    std::vector<char> log(log_bytes);
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void* values[] = {log.data(), reinterpret_cast<void*>(log.size() - 1)};  // numbers travel as pointers here
    const CUresult result = driver.load(&module, code.c_str(), 2, options, values);
    const std::string said(log.data());
    require(result, "cuModuleLoadDataEx of " + name + (said.empty() ? "" : " (" + said + ")"));
  }
  // At the end of the program the driver may have gone before: then there is nothing to unload.
  ~State() { driver.unload(module); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  Kernel& kernel(const std::string& kernel_name) {
    const auto found = kernels.find(kernel_name);
    if (found != kernels.end()) return found->second;
    Kernel k;
    k.about = "'" + kernel_name + "' of " + name;
    require(driver.function(&k.function, module, kernel_name.c_str()), "cuModuleGetFunction: kernel " + k.about);
    size_t offset = 0, bytes = 0;
    k.parameters_known = driver.parameter != nullptr;
    for (size_t i = 0; driver.parameter && driver.parameter(k.function, i, &offset, &bytes) == CUDA_SUCCESS; i++)
      k.parameter_bytes.push_back(bytes);
    return kernels.emplace(kernel_name, std::move(k)).first->second;
  }

  void allow_shared(Kernel& k, int64_t bytes) const {
    if (bytes <= k.shared_bytes) return;
    require(driver.set_attribute(k.function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, static_cast<int>(bytes)),
            "cuFuncSetAttribute: kernel " + k.about + " with " + std::to_string(bytes) + " bytes of shared memory");
    k.shared_bytes = bytes;
  }

  static void check_arguments(const Kernel& k, std::span<const size_t> bytes) {
    if (!k.parameters_known) return;
    check(k.parameter_bytes.size() == bytes.size(), "ptx: another number of arguments than the kernel takes", k.about, bytes.size(), "of",
          k.parameter_bytes.size());
    for (size_t i = 0; i < bytes.size(); i++)
      check(k.parameter_bytes[i] == bytes[i], "ptx: an argument of another size than the kernel takes", k.about, "argument", i, bytes[i],
            "bytes of", k.parameter_bytes[i]);
  }
};

PtxModule::PtxModule(std::string name, const std::string& code) : state_(std::make_unique<State>(std::move(name), code)) {}
PtxModule::~PtxModule() = default;
PtxModule::PtxModule(PtxModule&&) noexcept = default;
PtxModule& PtxModule::operator=(PtxModule&&) noexcept = default;

PtxModule PtxModule::from_file(const std::string& file) {
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  const int64_t bytes = in ? static_cast<int64_t>(in.tellg()) : -1;
  check(bytes >= 0, "ptx: cannot open the file", file);
  check(bytes <= most_bytes, "ptx: the file is too large", file, bytes, "bytes of at most", most_bytes);
  std::string code(static_cast<size_t>(bytes), '\0');
  in.seekg(0).read(code.data(), bytes);
  check(static_cast<bool>(in), "ptx: cannot read the file", file);
  return {file, code};
}

void PtxModule::submit(Queue<Cuda>& queue, const std::string& kernel, const PtxGrid& grid, const void* const* values,
                       std::span<const size_t> bytes) {
  State::Kernel& k = state_->kernel(kernel);
  const int64_t shared = queue.properties.shared_bytes_per_block;
  for (int i = 0; i < 3; i++) {
    check(grid.blocks[i] >= 0 && grid.blocks[i] <= most_blocks[i], "ptx: a grid beyond CUDA's limits", k.about, text_of(grid.blocks));
    check(grid.threads[i] > 0 && grid.threads[i] <= 1024, "ptx: a block has 1 to 1024 threads", k.about, text_of(grid.threads));
  }
  check(grid.threads[0] * grid.threads[1] * grid.threads[2] <= 1024, "ptx: a block has 1 to 1024 threads", k.about, text_of(grid.threads));
  check(grid.shared_bytes >= 0 && grid.shared_bytes <= shared, "ptx: more shared memory than a block has", k.about, grid.shared_bytes,
        "bytes of", shared);
  State::check_arguments(k, bytes);
  if (std::count(grid.blocks, grid.blocks + 3, 0) > 0) return;  // an empty tensor
  state_->allow_shared(k, grid.shared_bytes);
  const auto u = [](int64_t n) { return static_cast<unsigned>(n); };
  const CUresult code = state_->driver.launch(k.function, u(grid.blocks[0]), u(grid.blocks[1]), u(grid.blocks[2]), u(grid.threads[0]),
                                              u(grid.threads[1]), u(grid.threads[2]), u(grid.shared_bytes), queue.stream,
                                              const_cast<void**>(values), nullptr);  // which the driver only reads
  if (code != CUDA_SUCCESS) [[unlikely]]
    require(code, "cuLaunchKernel: kernel " + k.about + " with " + text_of(grid.blocks) + " blocks of " + text_of(grid.threads) +
                      " threads and " + std::to_string(grid.shared_bytes) + " bytes");
}

}  // namespace infernum
