// GgufWriter: what is written is read back equal; wrong use is refused; nothing is left of an unfinished file.
#include "checkpoint/gguf_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "checkpoint/gguf.h"
#include "checkpoint/test_files.h"

namespace infernum {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testutil::error_of;
using testutil::TemporaryFolder;

std::span<const std::byte> bytes_of_text(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

size_t files_in(const TemporaryFolder& folder) {
  const std::filesystem::directory_iterator files(folder.path());
  return static_cast<size_t>(std::distance(begin(files), end(files)));
}

TEST(GgufWriter, WritesTheBytesOfTheFormat) {
  const TemporaryFolder folder;
  GgufWriter writer(folder / "a.gguf");
  writer.set("k", uint16_t{0x0102});
  writer.declare("t", DType::I8, {2, 3});
  writer.write(bytes_of_text("abc"));
  writer.write(bytes_of_text("def"));
  writer.finish();
  std::string expected = "GGUF";
  const auto add = [&](auto value) { expected += testutil::little_endian(value); };
  add(uint32_t{3}), add(uint64_t{1}), add(uint64_t{1});
  add(uint64_t{1}), expected += 'k', add(uint32_t{2}), add(uint16_t{0x0102});
  add(uint64_t{1}), expected += 't', add(uint32_t{2}), add(uint64_t{3}), add(uint64_t{2}), add(uint32_t{24}), add(uint64_t{0});
  expected.resize((expected.size() + 31) / 32 * 32);
  expected += "abcdef";
  expected.resize(expected.size() + 26);
  EXPECT_EQ(read_file(folder / "a.gguf"), expected);
}

TEST(GgufWriter, EveryKindOfMetadataIsReadBack) {
  const TemporaryFolder folder;
  GgufWriter writer(folder / "a.gguf", 64);
  writer.set("u8", uint8_t{200});
  writer.set("i8", int8_t{-100});
  writer.set("u16", uint16_t{60000});
  writer.set("i16", int16_t{-30000});
  writer.set("u32", uint32_t{4000000000});
  writer.set("i32", int32_t{-2000000000});
  writer.set("f32", 0.1f);
  writer.set("bool", true);
  writer.set("string", std::string("text \0 with zero", 16));
  writer.set("u64", uint64_t{1} << 62);
  writer.set("i64", int64_t{-1} << 62);
  writer.set("f64", 0.1);
  writer.set("u8s", std::vector<uint8_t>{1, 255});
  writer.set("i32s", std::vector<int32_t>{-1, 2, 3});
  writer.set("u64s", std::vector<uint64_t>{uint64_t{1} << 40});
  writer.set("f32s", std::vector<float>{0.5f, -1});
  writer.set("bools", std::vector<bool>{true, false, true});
  writer.set("strings", std::vector<std::string>{"", "b", "long enough to be on the heap, surely"});
  writer.set("empty", std::vector<std::string>{});
  writer.finish();
  const auto read = open_gguf(folder / "a.gguf").metadata;
  EXPECT_EQ(read->version(), 3u);
  EXPECT_EQ(read->find_int("general.alignment"), 64);
  EXPECT_EQ(read->find_int("u8"), 200);
  EXPECT_EQ(read->find_int("i8"), -100);
  EXPECT_EQ(read->find_int("u16"), 60000);
  EXPECT_EQ(read->find_int("i16"), -30000);
  EXPECT_EQ(read->find_int("u32"), 4000000000);
  EXPECT_EQ(read->find_int("i32"), -2000000000);
  EXPECT_EQ(read->find_float("f32"), 0.1f);
  EXPECT_EQ(read->find_bool("bool"), true);
  EXPECT_EQ(read->find_string("string"), std::string_view("text \0 with zero", 16));
  EXPECT_EQ(read->find_int("u64"), int64_t{1} << 62);
  EXPECT_EQ(read->find_int("i64"), int64_t{-1} << 62);
  EXPECT_EQ(read->find_float("f64"), 0.1);
  EXPECT_THAT(*read->find_ints("u8s"), ElementsAre(1, 255));
  EXPECT_THAT(*read->find_ints("i32s"), ElementsAre(-1, 2, 3));
  EXPECT_THAT(*read->find_ints("u64s"), ElementsAre(int64_t{1} << 40));
  EXPECT_THAT(*read->find_floats("f32s"), ElementsAre(0.5f, -1.0f));
  EXPECT_THAT(*read->find_bools("bools"), ElementsAre(true, false, true));
  EXPECT_THAT(*read->find_strings("strings"), ElementsAre("", "b", "long enough to be on the heap, surely"));
  EXPECT_EQ(read->array_size("empty"), 0);
  EXPECT_EQ(read->values().size(), 20u);
}

TEST(GgufWriter, TensorsOfEveryTypeAreReadBackInPlace) {
  const TemporaryFolder folder;
  GgufWriter writer(folder / "a.gguf");
  constexpr DType types[] = {DType::F32,    DType::F16,    DType::BF16,  DType::F64,   DType::I8,    DType::I16,
                             DType::I32,    DType::I64,    DType::Q4_0,  DType::Q4_1,  DType::Q5_0,  DType::Q5_1,
                             DType::Q8_0,   DType::Q2_K,   DType::Q3_K,  DType::Q4_K,  DType::Q5_K,  DType::Q6_K,
                             DType::IQ4_NL, DType::IQ4_XS, DType::IQ3_S, DType::MXFP4, DType::TQ1_0, DType::TQ2_0};
  std::mt19937 random(1);
  std::vector<std::string> contents;
  for (const DType type : types) {
    const Shape shape{3, 1 + static_cast<int64_t>(random() % 3), 2 * info(type).block};
    writer.declare(std::string(info(type).name), type, shape);
    std::string content(static_cast<size_t>(bytes_of(type, shape.elements())), '\0');
    for (char& c : content) c = static_cast<char>(random());
    contents.push_back(std::move(content));
  }
  writer.declare("empty", DType::F32, {0, 4});
  for (const std::string& content : contents)
    for (size_t at = 0; at < content.size();) {  // pieces of any size
      const size_t n = std::min(content.size() - at, size_t{1 + random() % 100});
      writer.write(bytes_of_text(content).subspan(at, n));
      at += n;
    }
  writer.finish();
  const Gguf read = open_gguf(folder / "a.gguf");
  ASSERT_EQ(read.tensors.size(), contents.size() + 1);
  for (size_t i = 0; i < contents.size(); ++i) {
    const StoredTensor& tensor = read.tensors[i];
    EXPECT_EQ(tensor.name, info(types[i]).name);
    EXPECT_EQ(tensor.dtype, types[i]);
    EXPECT_EQ(tensor.shape.rank(), 3);
    EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(tensor.data), static_cast<size_t>(tensor.bytes)), contents[i]);
  }
}

TEST(GgufWriter, AnUnfinishedFileLeavesNothing) {
  const TemporaryFolder folder;
  folder.write("a.gguf", "the old one");
  {
    GgufWriter writer(folder / "a.gguf");
    writer.declare("t", DType::F32, {2});
    writer.write(bytes_of_text("four"));
    EXPECT_THAT(error_of([&] { writer.finish(); }), HasSubstr("data missing: t written 4 of 8"));
    EXPECT_EQ(files_in(folder), 2u);
  }
  EXPECT_EQ(files_in(folder), 1u);
  EXPECT_EQ(read_file(folder / "a.gguf"), "the old one");
  {
    GgufWriter writer(folder / "a.gguf");
    writer.set("k", true);
    writer.finish();
  }
  EXPECT_EQ(files_in(folder), 1u);
  EXPECT_EQ(open_gguf(folder / "a.gguf").metadata->find_bool("k"), true);
}

TEST(GgufWriter, RefusesWrongUse) {
  const TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { GgufWriter(folder / "no/such/a.gguf"); }), HasSubstr("cannot create"));
  EXPECT_THAT(error_of([&] { GgufWriter(folder / "a.gguf", 48); }), HasSubstr("power of two"));
  GgufWriter writer(folder / "a.gguf");
  writer.set("k", 1.5f);
  EXPECT_THAT(error_of([&] { writer.set("k", 2.5f); }), HasSubstr("key set twice: k"));
  EXPECT_THAT(error_of([&] { writer.set("", 2.5f); }), HasSubstr("1 to 65535 bytes"));
  writer.declare("t", DType::Q4_0, {32});
  EXPECT_THAT(error_of([&] { writer.declare("t", DType::F32, {1}); }), HasSubstr("declared twice: t"));
  EXPECT_THAT(error_of([&] { writer.declare("u", DType::Q4_K, {2, 64}); }), HasSubstr("whole blocks: u Q4_K (2, 64)"));
  EXPECT_THAT(error_of([&] { writer.declare("u", DType::F8E4M3, {2}); }), HasSubstr("no such tensor type: F8_E4M3"));
  EXPECT_THAT(error_of([&] { writer.declare(std::string(64, 'n'), DType::F32, {2}); }), HasSubstr("1 to 63 bytes"));
  EXPECT_THAT(error_of([&] { writer.write(bytes_of_text(std::string(19, 'x'))); }), HasSubstr("more data than declared: t"));
  writer.write(bytes_of_text(std::string(18, 'x')));
  EXPECT_THAT(error_of([&] { writer.write(bytes_of_text("y")); }), HasSubstr("more data than declared"));
  EXPECT_THAT(error_of([&] { writer.set("late", true); }), HasSubstr("before tensor data"));
  EXPECT_THAT(error_of([&] { writer.declare("late", DType::F32, {1}); }), HasSubstr("before any data"));
}

}  // namespace
}  // namespace infernum
