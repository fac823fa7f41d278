// What is said of machines that cannot run this program's kernels, and which codes mean that the device is gone.
#include "backends/cuda_diagnosis.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "core/device_error.h"

namespace infernum {
namespace {

int number(CudaCode code) { return static_cast<int>(code); }

TEST(CudaDiagnosis, VersionsAreWrittenAsTheyAreSpoken) {
  EXPECT_EQ(cuda_version(12040), "12.4");
  EXPECT_EQ(cuda_version(13000), "13.0");
  EXPECT_EQ(cuda_version(11080), "11.8");
}

TEST(CudaDiagnosis, AnOldDriverIsNamedWithWhatIsNeeded) {
  for (const CudaCode code : {CudaCode::InsufficientDriver, CudaCode::CallRequiresNewerDriver}) {
    const std::string said = cuda_advice(number(code), 12020, 13010);
    EXPECT_NE(said.find("supports CUDA up to 12.2"), std::string::npos) << said;
    EXPECT_NE(said.find("needs one for CUDA 13.0 or newer"), std::string::npos) << said;
  }
  const std::string said = cuda_advice(number(CudaCode::UnsupportedPtxVersion), 12020, 12080);
  EXPECT_NE(said.find("up to 12.2"), std::string::npos) << said;
  EXPECT_NE(said.find("code of CUDA 12.8"), std::string::npos) << said;
  EXPECT_NE(said.find("INFERNUM_CUDA_ARCHITECTURES"), std::string::npos) << said;
}

TEST(CudaDiagnosis, EveryOtherFailureOfAMachineHasItsRemedy) {
  const std::vector<std::pair<CudaCode, const char*>> remedies{{CudaCode::NoDevice, "CUDA_VISIBLE_DEVICES"},
                                                               {CudaCode::InvalidDevice, "numbered from 0"},
                                                               {CudaCode::NoKernelImageForDevice, "INFERNUM_CUDA_ARCHITECTURES"},
                                                               {CudaCode::InvalidDeviceFunction, "INFERNUM_CUDA_ARCHITECTURES"},
                                                               {CudaCode::InvalidKernelImage, "INFERNUM_CUDA_ARCHITECTURES"},
                                                               {CudaCode::SystemNotReady, "fabric manager"},
                                                               {CudaCode::SystemDriverMismatch, "restart"},
                                                               {CudaCode::DevicesUnavailable, "compute mode"}};
  for (const auto& [code, remedy] : remedies)
    EXPECT_NE(cuda_advice(number(code), 13000, 13000).find(remedy), std::string::npos) << number(code);
  EXPECT_EQ(cuda_advice(1, 13000, 13000), "");
}

TEST(CudaDiagnosis, OnlyWhatKillsTheContextIsSticky) {
  for (const int code : {46, 214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 810, 911})
    EXPECT_TRUE(cuda_sticky(code)) << code;
  for (const int code : {0, 1, 2, 35, 98, 100, 101, 209, 600, 701, 720, 900, 999}) EXPECT_FALSE(cuda_sticky(code)) << code;
}

TEST(CudaDiagnosis, KernelsRunWhereTheyWereCompiledFor) {
  const char* released = "80-virtual,90a-real";
  for (const auto& [major, minor] : {std::pair{8, 0}, {8, 6}, {8, 9}, {9, 0}, {10, 0}, {12, 0}})
    EXPECT_TRUE(cuda_built_for(released, major, minor)) << major << "." << minor;
  EXPECT_FALSE(cuda_built_for(released, 7, 5));
  EXPECT_TRUE(cuda_built_for("90a-real", 9, 0));
  EXPECT_FALSE(cuda_built_for("90a-real", 8, 9));
  EXPECT_FALSE(cuda_built_for("90a-real", 10, 0));
  EXPECT_FALSE(cuda_built_for("90a-virtual", 10, 0)) << "nothing is translated for another than its own";
  EXPECT_TRUE(cuda_built_for("86-real", 8, 9)) << "of one major version";
  EXPECT_FALSE(cuda_built_for("86-real", 8, 0));
  EXPECT_FALSE(cuda_built_for("86-real", 9, 0));
  EXPECT_TRUE(cuda_built_for("86", 12, 0));
  EXPECT_TRUE(cuda_built_for("100f", 10, 3)) << "a family";
  EXPECT_FALSE(cuda_built_for("100f", 12, 0));
  EXPECT_TRUE(cuda_built_for("native", 8, 0));
  EXPECT_FALSE(cuda_built_for("", 8, 0));
  EXPECT_FALSE(cuda_built_for(",,", 8, 0));
}

TEST(CudaDiagnosis, WhatTheShareOfTheMemoryLeaves) {
  constexpr int64_t gib = int64_t{1} << 30;
  EXPECT_EQ(cuda_memory_left("X", 80 * gib, 64 * gib, 0.5), 24 * gib);
  EXPECT_EQ(cuda_memory_left("X", 80 * gib, 80 * gib, 1), 80 * gib);
  try {
    cuda_memory_left("X", 80 * gib, 8 * gib, 0.9);
    FAIL();
  } catch (const OutOfMemory& e) {
    const std::string said = e.what();
    for (const char* part : {"on the device X", "73728 MiB of 81920 MiB are taken", "--gpu-memory-utilization 0.9", "have 73728 MiB"})
      EXPECT_NE(said.find(part), std::string::npos) << said;
  }
}

}  // namespace
}  // namespace infernum
