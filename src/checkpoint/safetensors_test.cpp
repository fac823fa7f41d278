#include "checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "checkpoint/test_files.h"
#include "core/check.h"

namespace infernum {
namespace {

using testing::HasSubstr;
using testutil::error_of;

Safetensors parse(const std::string& file, Opening opening = Opening::Complete) {
  return parse_safetensors(std::as_bytes(std::span(file)), "x.safetensors", nullptr, opening);
}
std::string rejected(const std::string& file) {
  return error_of([&] { parse(file); });
}
/// A file with a correct length field.
std::string with_header(const std::string& json, size_t data_bytes = 0) {
  return testutil::little_endian<uint64_t>(json.size()) + json + std::string(data_bytes, '\0');
}
const std::string matrix = R"({"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}})";

TEST(Safetensors, ReadsAMatrixInPlace) {
  const std::string file = with_header(matrix, 16);
  ASSERT_EQ(file[0], 0x3c);
  const Safetensors parsed = parse(file);
  ASSERT_EQ(parsed.tensors.size(), 1u);
  const StoredTensor& t = parsed.tensors[0];
  EXPECT_EQ(t.name, "test");
  EXPECT_EQ(t.dtype, DType::I32);
  EXPECT_EQ(t.shape, (Shape{2, 2}));
  EXPECT_EQ(t.bytes, 16);
  EXPECT_EQ(reinterpret_cast<const char*>(t.data), file.data() + 8 + matrix.size());
}

TEST(Safetensors, EveryByteIsCovered) {
  EXPECT_THAT(rejected(with_header(matrix, 17)), HasSubstr("buffer not covered"));
  EXPECT_THAT(rejected(with_header(matrix, 14)), HasSubstr("buffer not covered"));
  const std::string hole = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})";
  EXPECT_THAT(rejected(with_header(hole, 3)), testing::AllOf(HasSubstr("hole before"), HasSubstr("\"b\"")));
}

TEST(Safetensors, HeaderLength) {
  EXPECT_THAT(rejected(std::string("\x3c\0\0\0\0\xff\xff\xff", 8)), HasSubstr("header too large"));
  EXPECT_THAT(rejected(""), HasSubstr("too small"));
  EXPECT_THAT(rejected(std::string("\x3c\0\0\0\0\0\0\0", 8)), HasSubstr("bad header length"));
  EXPECT_THAT(rejected(with_header("\xff")), HasSubstr("not valid JSON in UTF-8"));
  EXPECT_THAT(rejected(with_header("{")), HasSubstr("not valid JSON"));
  EXPECT_THAT(rejected(with_header("")), HasSubstr("not valid JSON"));
  EXPECT_THAT(rejected(with_header(std::string("{}\0{", 4))), HasSubstr("not valid JSON"));
  EXPECT_THAT(rejected(with_header("\xef\xbb\xbf{}")), HasSubstr("not valid JSON"));
  EXPECT_THAT(rejected(with_header("{} {}")), HasSubstr("not valid JSON"));
}

TEST(Safetensors, WhitespaceAroundTheHeader) {
  EXPECT_TRUE(parse(with_header("{}\r \t\n")).tensors.empty());
  EXPECT_TRUE(parse(with_header("\t\n{}\r ")).tensors.empty());
}

TEST(Safetensors, ScalarsAndEmptyTensors) {
  const Safetensors scalar = parse(with_header(R"({"test":{"dtype":"I32","shape":[],"data_offsets":[0,4]}})", 4));
  EXPECT_EQ(scalar.tensors.at(0).shape, Shape{});
  const Safetensors empty = parse(with_header(R"({"test":{"dtype":"I32","shape":[2,0],"data_offsets":[0, 0]}})"));
  EXPECT_EQ(empty.tensors.at(0).shape, (Shape{2, 0}));
  EXPECT_EQ(empty.tensors.at(0).bytes, 0);
}

std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets, size_t data_bytes) {
  return with_header(R"({"t":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}", data_bytes);
}

TEST(Safetensors, SizesAreChecked) {
  EXPECT_THAT(rejected(one("I32", "[2,2]", "[0,4]", 4)), HasSubstr("size mismatch"));
  EXPECT_THAT(rejected(one("I32", "[2,2]", "[16,0]", 16)), HasSubstr("size mismatch"));
  EXPECT_THAT(rejected(one("I32", "[2,18446744073709551614]", "[0,16]", 16)), HasSubstr("overflow"));
  EXPECT_THAT(rejected(one("I32", "[2,9223372036854775807]", "[0,16]", 16)), HasSubstr("overflow"));
  EXPECT_THAT(rejected(one("I32", "[4611686018427387904]", "[0,0]", 0)), HasSubstr("overflow"));
  EXPECT_THAT(rejected(one("I32", "[18446744073709551616]", "[0,0]", 0)), HasSubstr("non-negative integers"));
  EXPECT_THAT(rejected(one("I32", "[-2]", "[0,8]", 8)), HasSubstr("non-negative integers"));
  EXPECT_THAT(rejected(one("I32", "[2.0]", "[0,8]", 8)), HasSubstr("non-negative integers"));
  EXPECT_THAT(rejected(one("I32", "[1,1,1,1,1]", "[0,4]", 4)), testing::AllOf(HasSubstr("at most 4 dimensions"), HasSubstr("\"t\"")));
  EXPECT_THAT(rejected(one("I32", "[1]", "[0]", 4)), HasSubstr("needs two numbers"));
  EXPECT_THAT(rejected(one("I32", "[1]", "[0,4,4]", 4)), HasSubstr("more than two"));
  EXPECT_THAT(rejected(one("Q4_K", "[256]", "[0,144]", 144)),
              testing::AllOf(HasSubstr("unknown dtype"), HasSubstr("Q4_K"), HasSubstr("\"t\"")));
}

TEST(Safetensors, EveryDtype) {
  const std::pair<const char*, int> bits[] = {
      {"BOOL", 8},    {"F4", 4},          {"F6_E2M3", 6},     {"F6_E3M2", 6}, {"U8", 8},   {"I8", 8},   {"F8_E5M2", 8}, {"F8_E4M3", 8},
      {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16}, {"F16", 16}, {"BF16", 16},   {"I32", 32},
      {"U32", 32},    {"F32", 32},        {"C64", 64},        {"F64", 64},    {"I64", 64}, {"U64", 64}};
  for (const auto& [name, size] : bits) {
    const auto bytes = static_cast<size_t>(8 * size / 8);
    const Safetensors parsed = parse(one(name, "[1,8]", "[0," + std::to_string(bytes) + "]", bytes));
    EXPECT_EQ(info(parsed.tensors.at(0).dtype).name, name);
    EXPECT_EQ(parsed.tensors.at(0).shape, (Shape{1, 8})) << name;
  }
  EXPECT_THAT(rejected(one("F4", "[3]", "[0,1]", 1)), HasSubstr("whole bytes"));
  EXPECT_THAT(rejected(one("F4", "[]", "[0,0]", 0)), HasSubstr("whole bytes"));
  EXPECT_THAT(rejected(one("F6_E2M3", "[2]", "[0,1]", 1)), HasSubstr("whole bytes"));
}

TEST(Safetensors, StructureOfTheHeader) {
  EXPECT_THAT(rejected(with_header("[]")), HasSubstr("the header is an object"));
  EXPECT_THAT(rejected(with_header("3")), HasSubstr("the header is an object"));
  EXPECT_THAT(rejected(with_header(R"({"t":3})")), HasSubstr("an entry is an object"));
  EXPECT_THAT(rejected(with_header(R"({"t":{}})")), HasSubstr("needs dtype, shape and data_offsets"));
  EXPECT_THAT(rejected(with_header(R"({"t":{"dtype":3}})")), HasSubstr("dtype is a string"));
  EXPECT_THAT(rejected(with_header(R"({"t":{"dtype":"I8","shape":3}})")), HasSubstr("arrays of non-negative integers"));
  EXPECT_THAT(rejected(with_header(R"({"t":{"dtype":"I8","shape":[[1]]}})")), HasSubstr("arrays of non-negative integers"));
  EXPECT_THAT(rejected(with_header(R"({"t":{"dtype":"I8","dtype":"I8"}})")), HasSubstr("duplicate key in the entry"));
  const std::string a = R"("a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  EXPECT_THAT(rejected(with_header("{" + a + "," + a + "}")), testing::AllOf(HasSubstr("duplicate tensor name"), HasSubstr("\"a\"")));
  EXPECT_THAT(rejected(with_header(R"({"__metadata__":{"a":1}})")), HasSubstr("strings to strings"));
  EXPECT_THAT(rejected(with_header(R"({"__metadata__":[]})")), HasSubstr("strings to strings"));
  EXPECT_THAT(rejected(with_header(R"({"__metadata__":{"a":"b","a":"b"}})")), HasSubstr("duplicate key in __metadata__"));
  EXPECT_EQ(parse(with_header(R"({"__metadata__":{"format":"pt"}})")).metadata.at("format"), "pt");
  const std::string extra = R"({"t":{"dtype":"U8","note":{"a":[1,null]},"shape":[2],"data_offsets":[0,2],"x":-1.5}})";
  EXPECT_EQ(parse(with_header(extra, 2)).tensors.size(), 1u);
  EXPECT_THAT(rejected(with_header(R"({"t":{"x":)" + std::string(100000, '[') + "}}")), HasSubstr("nested too deeply"));
  EXPECT_THAT(rejected(with_header("{\"" + std::string(600, 'n') + "\":{}}")), HasSubstr("name is too long"));
}

TEST(Safetensors, ManyOverlappingTensorsAreRejectedQuickly) {
  std::string json = "{";
  for (int i = 0; i < 100000; i++)
    json += (i ? ",\"" : "\"") + std::to_string(i) + R"(":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]})";
  const std::string file = with_header(json + "}", 16);
  const double start = testutil::processor_seconds();
  EXPECT_THAT(rejected(file), HasSubstr("overlap"));
  EXPECT_LT(testutil::processor_seconds() - start, 1 * testutil::slowdown);
}

TEST(Safetensors, HeadersOnlyNeedsNoData) {
  const std::string two =
      with_header(R"({"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"I8","shape":[4],"data_offsets":[2,6]}})", 3);
  EXPECT_THAT(rejected(two), HasSubstr("buffer not covered"));
  const Safetensors parsed = parse(two, Opening::HeadersOnly);
  ASSERT_EQ(parsed.tensors.size(), 2u);
  EXPECT_NE(parsed.tensors[0].data, nullptr);
  EXPECT_EQ(parsed.tensors[1].data, nullptr);
}

TEST(Safetensors, PatchEmbeddingsOfVisionTowersAreSkipped) {
  const std::string json = R"({"model.visual.patch_embed.proj.weight":{"dtype":"I8","shape":[1,1,1,1,2],"data_offsets":[0,2]}})";
  EXPECT_TRUE(parse(with_header(json, 2)).tensors.empty());
}

TEST(Safetensors, UnalignedDataIsCopiedOnRequest) {
  const std::string json = R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})";
  std::string file = with_header(json + std::string((8 - json.size() % 8) % 8, ' '), 5);
  std::memcpy(file.data() + file.size() - 4, "\0\0\x80\x3f", 4);
  std::vector<uint64_t> room(file.size() / 8 + 1);  // the base is aligned, so that b is not
  std::memcpy(room.data(), file.data(), file.size());
  const Safetensors parsed = parse_safetensors(std::as_bytes(std::span(room)).first(file.size()), "x", nullptr);
  EXPECT_EQ(aligned(parsed.tensors[0], 1).data, parsed.tensors[0].data);
  const StoredTensor b = aligned(parsed.tensors[1], 4);
  EXPECT_NE(b.data, parsed.tensors[1].data);
  EXPECT_EQ(*reinterpret_cast<const float*>(b.data), 1.f);
}

}  // namespace
}  // namespace infernum
