// All styles of tokenizer.json against the ids and texts of the reference implementation.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "text/stream_decoder.h"
#include "text/tokenizer.h"

namespace infernum {
namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<std::filesystem::path> styles() {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(INFERNUM_BINARY_DIR "/data/tok")) found.push_back(entry.path());
  return found;
}

TEST(TokenizerGolden, EveryStyleGivesTheReferenceIdsAndTexts) {
  size_t rows = 0;
  for (const auto& style : styles()) {
    SCOPED_TRACE(style.filename().string());
    const Tokenizer tokenizer = Tokenizer::from_json(read_file(style / "tokenizer.json"));
    const auto golden = nlohmann::json::parse(read_file(style / "golden.json"));
    for (const auto& row : golden.at("rows")) {
      const std::string text = row.at("text");
      const auto ids = row.at("ids").get<std::vector<int32_t>>();
      ++rows;
      EXPECT_EQ(tokenizer.encode(text), ids) << text;
      EXPECT_EQ(tokenizer.encode(text, {.add_special = false}), row.at("ids_no_special").get<std::vector<int32_t>>()) << text;
      const auto plain_ids = row.at("ids_no_special").get<std::vector<int32_t>>();
      EXPECT_EQ(tokenizer.decode(plain_ids, false), row.at("decoded").get<std::string>()) << text;
      EXPECT_EQ(tokenizer.decode(plain_ids, true), row.at("decoded_skip_special").get<std::string>()) << text;
    }
  }
  EXPECT_GE(rows, 12u * 234u);
}

TEST(TokenizerGolden, StreamedTextEqualsTheWhole) {
  for (const auto& style : styles()) {
    SCOPED_TRACE(style.filename().string());
    const Tokenizer tokenizer = Tokenizer::from_json(read_file(style / "tokenizer.json"));
    const auto golden = nlohmann::json::parse(read_file(style / "golden.json"));
    for (const auto& row : golden.at("rows")) {
      for (const bool skip : {false, true}) {
        StreamDecoder stream(tokenizer, skip);
        std::string text;
        for (const int32_t id : row.at("ids_no_special").get<std::vector<int32_t>>()) text += stream.push(id);
        text += stream.finish();
        EXPECT_EQ(text, row.at(skip ? "decoded_skip_special" : "decoded").get<std::string>());
      }
    }
  }
}

}  // namespace
}  // namespace infernum
