// PtxModule: what is refused without a device, and, with one, a kernel loaded from text, launched, recorded, and called wrongly.
#include "backends/cuda/ptx_module.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "backends/cuda/graph.h"
#include "backends/cuda/transfer.h"

namespace infernum {
namespace {

/// y[i] = x[i] + number for the i of one block.
constexpr const char* add_number = R"(
.version 7.0
.target sm_80
.address_size 64
.visible .entry add_number(.param .u64 y_ptr, .param .u64 x_ptr, .param .f32 number)
{
  .reg .b32 %i;
  .reg .b64 %at, %y, %x;
  .reg .f32 %v, %n;
  mov.u32 %i, %tid.x;
  mul.wide.u32 %at, %i, 4;
  ld.param.u64 %y, [y_ptr];
  cvta.to.global.u64 %y, %y;
  add.u64 %y, %y, %at;
  ld.param.u64 %x, [x_ptr];
  cvta.to.global.u64 %x, %x;
  add.u64 %x, %x, %at;
  ld.global.f32 %v, [%x];
  ld.param.f32 %n, [number];
  add.f32 %v, %v, %n;
  st.global.f32 [%y], %v;
  ret;
}
)";

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

void expect_in(const std::string& message, const std::string& part) {
  EXPECT_NE(message.find(part), std::string::npos) << message << "\nlacks: " << part;
}

TEST(PtxModule, RefusesWhatIsNoCode) {
  expect_in(error_of([] { PtxModule::from_file("no/such.ptx"); }), "ptx: cannot open the file: no/such.ptx");
  expect_in(error_of([] { PtxModule("a", ""); }), "ptx: no code: a");
  expect_in(error_of([] { PtxModule("a", "hello"); }), "ptx: neither PTX, which has a line .version, nor a cubin or fatbin: a");
  expect_in(error_of([] { PtxModule("a", std::string(".version 7.0\0.target", 20)); }), "ptx: a zero byte in the text: a at 12");
}

TEST(PtxModule, WithoutADriverSaysSo) {
  if (cuda_device_count() > 0) return;
  const std::string message = error_of([] { PtxModule("kernels.ptx", add_number); });
  EXPECT_TRUE(message.starts_with("ptx: ") && message.find("kernels.ptx") != message.npos) << message;
}

class PtxModuleCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "no CUDA device";
    queue = std::make_unique<Queue<Cuda>>();
    device.queue = queue.get();
  }
  std::unique_ptr<Queue<Cuda>> queue;
  Device<Cuda> device;
  static constexpr PtxGrid one_block{{1, 1, 1}, {3, 1, 1}, 0};
};

TEST_F(PtxModuleCuda, LaunchesAndRecords) {
  PtxModule module("text", add_number);
  const auto x = from_host(device, {3}, DType::F32, {1, 2, 3}), y = zeros(device, {3}, DType::F32);
  module.launch(*queue, "add_number", one_block, y.view().data, x.view().data, 0.5f);
  EXPECT_EQ(to_host(*queue, y.view()), (std::vector<float>{1.5f, 2.5f, 3.5f}));
  CudaGraph graph;
  graph.record(*queue, [&] { module.launch(*queue, "add_number", one_block, y.view().data, y.view().data, 1.f); });
  graph.launch(*queue);
  graph.launch(*queue);
  EXPECT_EQ(to_host(*queue, y.view()), (std::vector<float>{3.5f, 4.5f, 5.5f}));
  module.launch(*queue, "add_number", {{1, 0, 1}, {3, 1, 1}, 0}, y.view().data, y.view().data, 1.f);
  module.launch(*queue, "add_number", {{1, 1, 1}, {3, 1, 1}, 64 << 10}, y.view().data, y.view().data, 1.f);
  EXPECT_EQ(to_host(*queue, y.view()), (std::vector<float>{4.5f, 5.5f, 6.5f})) << "an empty grid, then much shared memory";
}

TEST_F(PtxModuleCuda, AQueueKeepsTheModuleOfAFile) {
  const std::string file = testing::TempDir() + "ptx_module_test.ptx";
  std::ofstream(file) << add_number;
  PtxModule& module = queue->module(file);
  EXPECT_EQ(&queue->module(file), &module);
  const auto y = zeros(device, {3}, DType::F32);
  module.launch(*queue, "add_number", one_block, y.view().data, y.view().data, 2.f);
  EXPECT_EQ(to_host(*queue, y.view()), (std::vector<float>{2, 2, 2}));
}

TEST_F(PtxModuleCuda, ErrorsNameFileKernelAndRule) {
  const std::string broken = error_of([&] {
    PtxModule module("broken.ptx", ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry f() { nonsense; }\n");
    module.launch(*queue, "f", one_block);
  });
  expect_in(broken, "broken.ptx");
  expect_in(broken, "nonsense");
  PtxModule module("text", add_number);
  void* const data = nullptr;
  expect_in(error_of([&] { module.launch(*queue, "add_nothing", one_block); }), "kernel 'add_nothing' of text");
  expect_in(error_of([&] { module.launch(*queue, "add_number", one_block, data); }), "'add_number' of text 1 of 3");
  expect_in(error_of([&] { module.launch(*queue, "add_number", one_block, data, data, 1.0); }), "argument 2 8 bytes of 4");
  expect_in(error_of([&] { module.launch(*queue, "add_number", {{1, 70000, 1}, {3, 1, 1}, 0}, data, data, 1.f); }), "1x70000x1");
  expect_in(error_of([&] { module.launch(*queue, "add_number", {{1, 1, 1}, {64, 32, 1}, 0}, data, data, 1.f); }), "64x32x1");
  expect_in(error_of([&] { module.launch(*queue, "add_number", {{1, 1, 1}, {1, 1, 1}, 1 << 30}, data, data, 1.f); }), "shared memory");
  queue->synchronize();
}

}  // namespace
}  // namespace infernum
