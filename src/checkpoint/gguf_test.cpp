#include "checkpoint/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/gguf_types.h"
#include "checkpoint/test_files.h"
#include "core/check.h"

namespace infernum {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testutil::error_of;
using testutil::GgufBuilder;
using testutil::little_endian;
using testutil::TemporaryFolder;

constexpr uint32_t f32 = 0, q4_0 = 2, q8_0 = 8, i8 = 24;

Gguf parse(const std::string& file, Opening opening = Opening::Complete) {
  return parse_gguf(std::as_bytes(std::span(file)), "x.gguf", nullptr, opening);
}
std::string rejected(const std::string& file) {
  return error_of([&] { parse(file); });
}
std::string with_tensor(const std::vector<uint64_t>& ne, uint32_t type, uint64_t offset = 0, size_t data_bytes = 0) {
  return GgufBuilder().tensor_info("t", ne, type, offset).file() + std::string(data_bytes, '\0');
}

TEST(Gguf, ReadsMetadataOfEveryType) {
  GgufBuilder b;
  b.raw("u8", 0, "\xff").raw("i8", 1, "\xff").raw("u16", 2, "\xff\xff").raw("i16", 3, "\xff\xff").u32("u32", 0xffffffff);
  b.raw("i32", 5, little_endian<int32_t>(-7))
      .f32("f32", 0.5f)
      .raw("yes", 7, "\x01")
      .raw("no", 7, std::string(1, '\0'))
      .string("text", "caf\xc3\xa9");
  b.raw("u64", 10, little_endian<uint64_t>(uint64_t{1} << 63))
      .raw("i64", 11, little_endian<int64_t>(-1))
      .raw("f64", 12, little_endian(0.25));
  b.strings("tokens", {"a", "", "\xff\xfe"})
      .raw("ints", 9, little_endian<uint32_t>(3) + little_endian<uint64_t>(2) + std::string("\x01\x00\xff\xff", 4));
  const std::string file = b.file();
  const Gguf gguf = parse(file);
  const GgufMetadata& m = *gguf.metadata;
  EXPECT_EQ(m.version(), 3u);
  EXPECT_EQ(m.find_int("u8"), 255);
  EXPECT_EQ(m.find_int("i8"), -1);
  EXPECT_EQ(m.find_int("u16"), 65535);
  EXPECT_EQ(m.find_int("i16"), -1);
  EXPECT_EQ(m.find_int("u32"), 4294967295);
  EXPECT_EQ(m.require_int("i32", -7, 0), -7);
  EXPECT_EQ(m.find_float("f32"), 0.5);
  EXPECT_EQ(m.find_float("i32"), -7.0);
  EXPECT_EQ(m.find_bool("yes"), true);
  EXPECT_EQ(m.find_bool("no"), false);
  EXPECT_EQ(m.require_string("text"), "caf\xc3\xa9");
  EXPECT_EQ(m.find_int("i64"), -1);
  EXPECT_EQ(m.require_float("f64"), 0.25);
  EXPECT_EQ(m.require_strings("tokens"), (std::vector<std::string_view>{"a", "", "\xff\xfe"}));
  const char* token = m.require_strings("tokens")[0].data();  // in the file, not copied
  EXPECT_TRUE(token > file.data() && token < file.data() + file.size());
  EXPECT_EQ(m.find_ints("ints"), (std::vector<int64_t>{1, -1}));
  EXPECT_EQ(m.array_size("tokens"), 3);
  EXPECT_EQ(m.array_size("absent"), -1);
  EXPECT_EQ(m.find_int("absent"), std::nullopt);
  EXPECT_THAT(error_of([&] { m.find_int("u64"); }), HasSubstr("exceeds 63 bits"));
  EXPECT_THAT(error_of([&] { m.require_int("absent"); }), AllOf(HasSubstr("is missing: \"absent\""), HasSubstr("x.gguf")));
  EXPECT_THAT(error_of([&] { m.find_int("u8", 0, 9); }), HasSubstr("out of range: \"u8\" 255 not in 0 to 9"));
  EXPECT_THAT(error_of([&] { m.find_int("text"); }), HasSubstr("\"text\" should be an integer is STRING"));
  EXPECT_THAT(error_of([&] { m.find_string("tokens"); }), HasSubstr("should be STRING is ARRAY of 3 STRING"));
  EXPECT_THAT(error_of([&] { m.find_ints("tokens"); }), HasSubstr("an array of integers"));
  EXPECT_THAT(error_of([&] { m.find_strings("ints"); }), HasSubstr("an array of STRING"));
  EXPECT_THAT(error_of([&] { m.find_floats("ints"); }), HasSubstr("an array of floats"));
}

TEST(Gguf, PerLayerValues) {
  GgufBuilder b;
  b.u32("one", 4).raw("each", 9,
                      little_endian<uint32_t>(4) + little_endian<uint64_t>(2) + little_endian<uint32_t>(1) + little_endian<uint32_t>(8));
  const std::string file = b.file();
  const Gguf gguf = parse(file);
  const GgufMetadata& m = *gguf.metadata;
  EXPECT_EQ(m.find_per_layer("one", 3, 1, 9), (std::vector<int64_t>{4, 4, 4}));
  EXPECT_EQ(m.find_per_layer("each", 2, 1, 9), (std::vector<int64_t>{1, 8}));
  EXPECT_EQ(m.find_per_layer("absent", 2, 1, 9), std::nullopt);
  EXPECT_THAT(error_of([&] { m.find_per_layer("each", 3, 1, 9); }), HasSubstr("one value for each layer"));
  EXPECT_THAT(error_of([&] { m.find_per_layer("each", 2, 2, 9); }), HasSubstr("out of range"));
}

TEST(Gguf, TensorsLieInPlaceOutermostFirst) {
  const std::string file = GgufBuilder().tensor("m", {32, 3, 2}, q8_0, std::string(6 * 34, 'q')).tensor("s", {}, f32, "abcd").file();
  const Gguf gguf = parse(file);
  ASSERT_EQ(gguf.tensors.size(), 2u);
  EXPECT_EQ(gguf.tensors[0].shape, (Shape{2, 3, 32}));
  EXPECT_EQ(gguf.tensors[0].dtype, DType::Q8_0);
  EXPECT_EQ(gguf.tensors[0].bytes, 6 * 34);
  EXPECT_EQ(*gguf.tensors[0].data, std::byte{'q'});
  EXPECT_EQ(gguf.tensors[1].shape, Shape{});
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(gguf.tensors[1].data), 4), "abcd");
}

TEST(Gguf, VersionsAndTruncation) {
  GgufBuilder b;
  b.string("general.architecture", "llama").strings("tokens", {"a", "bc"}).tensor("t", {4}, f32, std::string(16, 'x'));
  const std::string file = b.file();
  const size_t padding = 32 - 16;  // after the last tensor it may be missing
  for (size_t n = 0; n < file.size() - padding; n++) EXPECT_NE(rejected(file.substr(0, n)), "no error") << n;
  EXPECT_EQ(rejected(file.substr(0, file.size() - padding)), "no error");
  for (const auto& [version, message] :
       {std::pair(1u, "version 1"), {4u, "neither 2 nor 3"}, {0u, "neither 2 nor 3"}, {0x03000000u, "big-endian"}}) {
    b.version = version;
    EXPECT_THAT(rejected(b.file()), HasSubstr(message));
  }
  b.version = 2;
  EXPECT_EQ(rejected(b.file()), "no error");
  EXPECT_THAT(rejected("GGML" + file.substr(4)), HasSubstr("does not begin with GGUF"));
}

// CVE-2024-21802 and its kin: counts and lengths taken as allocation sizes.
TEST(Gguf, CountsAreBoundedByTheFile) {
  for (uint64_t huge : {uint64_t{100}, uint64_t{1} << 40, ~uint64_t{0}, ~uint64_t{0} / 24 + 1}) {
    GgufBuilder b;
    b.claimed_keys = huge;
    EXPECT_THAT(rejected(b.file()), HasSubstr("more metadata keys than the file can hold"));
    b.claimed_keys.reset();
    b.claimed_tensors = huge;
    EXPECT_THAT(rejected(b.file()), HasSubstr("more tensors than the file can hold"));
    EXPECT_THAT(rejected(GgufBuilder().raw("k", 8, little_endian(huge)).file()), HasSubstr("string is too long"));
    for (uint32_t type : {4u, 8u})
      EXPECT_THAT(rejected(GgufBuilder().raw("k", 9, little_endian(type) + little_endian(huge)).file()),
                  HasSubstr("array is larger than the file"));
    EXPECT_THAT(rejected(GgufBuilder().raw("k", 9, little_endian(8) + little_endian<uint64_t>(1) + little_endian(huge)).file()),
                testing::AnyOf(HasSubstr("file ends inside"), HasSubstr("string is too long")));
  }
  const std::string long_token(70000, 't');
  EXPECT_THAT(rejected(GgufBuilder().strings("k", {long_token}).file()), HasSubstr("string is too long"));
  EXPECT_EQ(rejected(GgufBuilder().string("k", long_token).file()), "no error");
}

TEST(Gguf, KeysAndValues) {
  EXPECT_THAT(rejected(GgufBuilder().u32("k", 1).u32("k", 1).file()), HasSubstr("duplicate metadata key: \"k\""));
  EXPECT_THAT(rejected(GgufBuilder().u32("", 1).file()), HasSubstr("key is empty"));
  EXPECT_THAT(rejected(GgufBuilder().u32(std::string(257, 'k'), 1).file()), HasSubstr("string is too long"));
  EXPECT_THAT(rejected(GgufBuilder().raw("k", 13, "....").file()), HasSubstr("unknown type of a metadata value: \"k\" 13"));
  EXPECT_THAT(rejected(GgufBuilder().raw("k", ~0u, "....").file()), HasSubstr("unknown type"));
  EXPECT_THAT(rejected(GgufBuilder().raw("k", 7, "\x02").file()), HasSubstr("a BOOL is 0 or 1"));
  EXPECT_THAT(rejected(GgufBuilder().raw("k", 9, little_endian(7) + little_endian<uint64_t>(1) + "\x02").file()),
              HasSubstr("a BOOL is 0 or 1"));
  EXPECT_THAT(rejected(GgufBuilder().raw("k", 9, little_endian(9) + little_endian<uint64_t>(0)).file()), HasSubstr("nested arrays"));
  EXPECT_THAT(rejected(GgufBuilder().raw("k", 9, little_endian(99) + little_endian<uint64_t>(0)).file()), HasSubstr("unknown type"));
}

// llama.cpp PR 19856, PR 26318
TEST(Gguf, Alignment) {
  for (uint32_t bad : {0u, 3u, 48u})
    EXPECT_THAT(rejected(GgufBuilder().u32("general.alignment", bad).file()), HasSubstr("general.alignment is a power of two")) << bad;
  EXPECT_THAT(rejected(GgufBuilder().raw("general.alignment", 10, little_endian<uint64_t>(32)).file()),
              HasSubstr("general.alignment is a UINT32"));
  EXPECT_THAT(rejected(GgufBuilder().string("general.alignment", "32").file()), HasSubstr("general.alignment is a UINT32"));
  GgufBuilder b;
  b.alignment = 64;
  b.u32("general.alignment", 64).tensor("a", {1}, f32, "1234").tensor("b", {1}, f32, "5678");
  const std::string file = b.file();
  const Gguf gguf = parse(file);
  EXPECT_EQ(gguf.tensors[1].data - gguf.tensors[0].data, 64);
  EXPECT_THAT(rejected(with_tensor({1}, f32, 8, 64)), HasSubstr("tensor is not aligned"));
  // The padding before the data reaches beyond the file.
  EXPECT_EQ(rejected(GgufBuilder().u32("general.alignment", 1u << 31).file()), "no error");
  EXPECT_THAT(rejected(GgufBuilder().u32("general.alignment", 1u << 31).tensor_info("t", {1}, f32, 0).file()),
              HasSubstr("tensor exceeds the file"));
}

// CVE-2026-33298, CVE-2025-53630, CVE-2026-27940, llama.cpp PR 24759
TEST(Gguf, SizesDoNotWrap) {
  EXPECT_THAT(rejected(with_tensor({uint64_t{1} << 62, 4}, f32)), HasSubstr("overflow"));
  EXPECT_THAT(rejected(with_tensor({uint64_t{1} << 32, uint64_t{1} << 32}, f32)), HasSubstr("overflow"));
  EXPECT_THAT(rejected(with_tensor({uint64_t{1} << 61}, f32)), HasSubstr("the size in bytes exceeds"));
  EXPECT_THAT(rejected(with_tensor({~uint64_t{0}}, f32)), HasSubstr("overflow"));
  EXPECT_THAT(rejected(with_tensor({4, (1 << 30) - 1, (1 << 30) + 1}, f32)), HasSubstr("exceed"));
  EXPECT_THAT(rejected(with_tensor({4}, f32, ~uint64_t{0} - 31)), HasSubstr("tensor exceeds the file"));
  EXPECT_THAT(rejected(with_tensor({4}, f32, 32, 40)), HasSubstr("tensor exceeds the file"));
  EXPECT_EQ(rejected(with_tensor({4}, f32, 32, 48)), "no error");
  EXPECT_EQ(rejected(with_tensor({0, 5}, f32)), "no error");
  // Sizes whose sum wraps: each tensor is checked against the file by itself.
  EXPECT_THAT(
      rejected(
          GgufBuilder().tensor_info("a", {(uint64_t{1} << 63) - 32}, i8, 0).tensor_info("b", {(uint64_t{1} << 63) - 32}, i8, 0).file()),
      HasSubstr("tensor exceeds the file"));
}

TEST(Gguf, TensorTable) {
  EXPECT_THAT(rejected(with_tensor({1, 1, 1, 1, 1}, f32)), HasSubstr("at most 4 dimensions: \"t\" 5"));
  EXPECT_THAT(rejected(with_tensor({33}, q4_0, 0, 64)), HasSubstr("whole number of blocks: \"t\" Q4_0 33 of 32"));
  EXPECT_THAT(rejected(with_tensor({}, q4_0, 0, 64)), HasSubstr("whole number of blocks"));
  EXPECT_THAT(rejected(GgufBuilder().tensor("t", {1}, f32, "1234").tensor("t", {1}, f32, "1234").file()),
              HasSubstr("duplicate tensor name: \"t\""));
  EXPECT_THAT(rejected(GgufBuilder().tensor(std::string(64, 't'), {1}, f32, "1234").file()), HasSubstr("string is too long"));
  EXPECT_THAT(rejected(GgufBuilder().tensor("", {1}, f32, "1234").file()), HasSubstr("name is empty"));
  const std::string shared = GgufBuilder().tensor_info("a", {16}, f32, 0).tensor_info("b", {1}, f32, 32).file() + std::string(64, '\0');
  EXPECT_THAT(rejected(shared), HasSubstr("tensors overlap: \"a\" \"b\""));
  const std::string reversed = GgufBuilder().tensor_info("a", {8}, f32, 32).tensor_info("b", {8}, f32, 0).file() + std::string(64, '\0');
  EXPECT_EQ(rejected(reversed), "no error");
}

TEST(Gguf, TypesAreRefusedByName) {
  for (const auto& [id, name] : {std::pair(4u, "Q4_2 (removed"),
                                 {9u, "Q8_1 (for activations"},
                                 {16u, "IQ2_XXS"},
                                 {36u, "I2_S of BitNet"},
                                 {40u, "NVFP4"},
                                 {43u, "unsupported: type 43"},
                                 {99u, "ik_llama.cpp"},
                                 {137u, "ik_llama.cpp"},
                                 {~0u, "type 4294967295"}})
    EXPECT_THAT(rejected(with_tensor({256}, id, 0, 512)), AllOf(HasSubstr(name), HasSubstr("in tensor \"t\""))) << id;
  for (uint32_t id = 0; id < 200; id++) {
    const auto type = dtype_of_ggml(id);
    if (!type) continue;
    EXPECT_EQ(ggml_of_dtype(*type), id);
    const auto bytes = static_cast<size_t>(bytes_of(*type, 512));
    EXPECT_EQ(rejected(with_tensor({256, 2}, id, 0, bytes)), "no error") << id;
    EXPECT_THAT(rejected(with_tensor({256, 2}, id, 0, bytes - 1)), HasSubstr("tensor exceeds the file")) << id;
  }
  EXPECT_EQ(ggml_of_dtype(DType::F8E4M3), std::nullopt);
}

TEST(Gguf, HeadersOnlyNeedsNoData) {
  const Gguf gguf = parse(with_tensor({1 << 20, 1 << 20}, q4_0), Opening::HeadersOnly);
  ASSERT_EQ(gguf.tensors.size(), 1u);
  EXPECT_EQ(gguf.tensors[0].data, nullptr);
}

/// One of `count` split files with a tensor of its own.
std::string split_file(uint16_t number, uint16_t count, const std::string& tensor, int32_t total) {
  return GgufBuilder()
      .raw("split.no", 2, little_endian(number))
      .raw("split.count", 2, little_endian(count))
      .raw("split.tensors.count", 5, little_endian(total))
      .tensor(tensor, {1}, f32, "1234")
      .file();
}

TEST(Gguf, SplitFilesAreOpenedAsOne) {
  const TemporaryFolder folder;
  const std::string first = folder.write("m-00001-of-00003.gguf", split_file(0, 3, "a", 3));
  const auto rejected_split = [&] { return error_of([&] { open_gguf(first); }); };
  EXPECT_THAT(rejected_split(), AllOf(HasSubstr("cannot open file"), HasSubstr("m-00002-of-00003.gguf")));
  EXPECT_EQ(open_gguf(first, Opening::HeadersOnly).tensors.size(), 1u);
  const std::string second = folder.write("m-00002-of-00003.gguf", split_file(1, 3, "b", 3));
  folder.write("m-00003-of-00003.gguf", split_file(2, 3, "c", 3));
  EXPECT_EQ(open_gguf(first).tensors.size(), 3u);
  EXPECT_THAT(error_of([&] { open_gguf(second); }),
              AllOf(HasSubstr("open the first of the split files"), HasSubstr("m-00001-of-00003.gguf")));
  folder.write("m-00003-of-00003.gguf", split_file(2, 3, "a", 3));
  EXPECT_THAT(rejected_split(), HasSubstr("duplicate tensor name in split files: \"a\""));
  folder.write("m-00003-of-00003.gguf", split_file(1, 3, "c", 3));
  EXPECT_THAT(rejected_split(), HasSubstr("split.no disagrees with the file name"));
  folder.write("m-00003-of-00003.gguf", split_file(2, 4, "c", 3));
  EXPECT_THAT(rejected_split(), HasSubstr("split.count differs"));
  folder.write("m-00003-of-00003.gguf", split_file(2, 3, "c", 3));
  folder.write("m-00001-of-00003.gguf", split_file(0, 3, "a", 4));
  EXPECT_THAT(rejected_split(), HasSubstr("split.tensors.count disagrees with the tensors found: 4 3"));
  EXPECT_THAT(error_of([&] { open_gguf(folder.write("renamed.gguf", split_file(0, 3, "a", 3))); }),
              HasSubstr("a split file is called <prefix> and then: -00001-of-00003.gguf"));
}

}  // namespace
}  // namespace infernum
