// What is said where there is no device, and what CUDA's codes are thrown as.
#include "backends/cuda/queue.h"

#include <gtest/gtest.h>

#include "backends/cuda/error.h"

namespace infernum {
namespace {

std::string refusal(int ordinal) {
  try {
    cuda_properties(ordinal);
  } catch (const Error& e) {
    return e.what();
  }
  return "none";
}

TEST(CudaQueue, AMissingDeviceIsNamed) {
  const int devices = cuda_device_count();
  if (devices == 0) {
    // No driver, an old one, or no GPU: one sentence each, which says what to do.
    const std::string said = refusal(0);
    EXPECT_TRUE(said.find("no NVIDIA driver on this machine") != std::string::npos || said.find("no usable device") != std::string::npos)
        << said;
    EXPECT_NE(said.find("--device cpu"), std::string::npos) << said;
    EXPECT_THROW(Queue<Cuda>{0}, Error);
  } else {
    EXPECT_EQ(refusal(0), "none");
    EXPECT_NE(refusal(devices).find("no device of this number"), std::string::npos) << refusal(devices);
    EXPECT_NE(refusal(-1).find("no device of this number"), std::string::npos) << refusal(-1);
  }
}

TEST(CudaError, CodesBecomeErrorsOfTheirKind) {
  EXPECT_NO_THROW(cuda_check(0, "call"));
  EXPECT_THROW(cuda_check(2, "call"), OutOfMemory);
  try {
    cuda_check(700, "the kernel", "cuda: work failed");
    FAIL();
  } catch (const DeviceLost& e) {
    EXPECT_NE(std::string(e.what()).find("cuda: work failed: the kernel: "), std::string::npos) << e.what();
    EXPECT_NE(e.reason().find("(cudaErrorIllegalAddress)"), std::string::npos) << e.reason();
    EXPECT_EQ(e.reason().find("["), std::string::npos) << "no place in our code: clients read it";
  }
  try {
    cuda_check(35, "call");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(dynamic_cast<const DeviceLost*>(&e), nullptr);
    EXPECT_NE(std::string(e.what()).find("update the driver"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace infernum
