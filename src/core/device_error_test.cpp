// OutOfMemory and DeviceLost: what they say.
#include "core/device_error.h"

#include <gtest/gtest.h>

#include <new>

namespace infernum {
namespace {

TEST(DeviceError, MemoryIsNamedInMebibytes) {
  EXPECT_EQ(mebibytes(0), "0 bytes");
  EXPECT_EQ(mebibytes((1 << 20) - 1), "1048575 bytes");
  EXPECT_EQ(mebibytes(1 << 20), "1 MiB");
  EXPECT_EQ(mebibytes((3 << 20) / 2), "2 MiB");
  EXPECT_EQ(mebibytes(int64_t{80} << 30), "81920 MiB");
  EXPECT_EQ(mebibytes(INT64_MAX), "8796093022208 MiB");
  EXPECT_STREQ(OutOfMemory("on the device X", int64_t{512} << 20, 1000, int64_t{8} << 30).what(),
               "not enough memory on the device X: 512 MiB were asked for, 1000 bytes of 8192 MiB are free");
  EXPECT_NE(std::string(out_of_host_memory(int64_t{1} << 50).what()).find("on this machine: 1073741824 MiB were asked for"),
            std::string::npos);
}

TEST(DeviceError, AShortageIsKnownFromOtherErrors) {
  EXPECT_EQ(memory_shortage(OutOfMemory("there was none")), "there was none");
  EXPECT_EQ(memory_shortage(std::bad_alloc()), "not enough memory on this machine");
  EXPECT_EQ(memory_shortage(Error("a rule")), std::nullopt);
  EXPECT_EQ(memory_shortage(DeviceLost("cuda: it is gone", "an illegal address")), std::nullopt);
}

TEST(DeviceError, ALostDeviceHasAReason) {
  try {
    throw DeviceLost("cuda: a kernel failed: 700 [queue.cpp:1]", "an illegal address");
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "cuda: a kernel failed: 700 [queue.cpp:1]");
    EXPECT_EQ(dynamic_cast<const DeviceLost&>(e).reason(), "an illegal address");
  }
}

}  // namespace
}  // namespace infernum
