// generation_config.json as GGUF metadata: what is there is written, what readers take for granted is not.
#include "checkpoint/convert_sampling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/gguf.h"
#include "checkpoint/test_files.h"
#include "core/check.h"

namespace infernum {
namespace {

using testing::ElementsAre;

Gguf written(const testutil::TemporaryFolder& folder, const std::string& generation_config) {
  GgufWriter writer(folder / "x.gguf");
  writer.set("general.architecture", std::string("llama"));
  write_sampling(generation_config, "g.json", writer);
  writer.declare("t", DType::F32, {1});
  writer.write(std::vector<std::byte>(4));
  writer.finish();
  return open_gguf(folder / "x.gguf");
}

TEST(ConvertSampling, WritesWhatTheFileRecommends) {
  const testutil::TemporaryFolder folder;
  const Gguf gguf = written(folder, R"({"do_sample":true,"temperature":0.6,"top_k":20,"top_p":0.95,"min_p":0.05,"repetition_penalty":1.1,
    "suppress_tokens":[258883,7],"eos_token_id":2})");
  const GgufMetadata& m = *gguf.metadata;
  EXPECT_FLOAT_EQ(static_cast<float>(*m.find_float("general.sampling.temp")), 0.6f);
  EXPECT_EQ(m.find_int("general.sampling.top_k"), 20);
  EXPECT_FLOAT_EQ(static_cast<float>(*m.find_float("general.sampling.top_p")), 0.95f);
  EXPECT_FLOAT_EQ(static_cast<float>(*m.find_float("general.sampling.min_p")), 0.05f);
  EXPECT_FLOAT_EQ(static_cast<float>(*m.find_float("general.sampling.penalty_repeat")), 1.1f);
  EXPECT_EQ(*m.find_float("general.sampling.penalty_last_n"), -1);
  EXPECT_THAT(*m.find_ints("tokenizer.ggml.suppress_tokens"), ElementsAre(258883, 7));
}

TEST(ConvertSampling, WritesNothingElse) {
  const testutil::TemporaryFolder folder;
  for (const char* text : {"", "{}", R"({"temperature":null,"repetition_penalty":1.0,"suppress_tokens":[]})"}) {
    const Gguf gguf = written(folder, text);
    EXPECT_EQ(gguf.metadata->values().size(), 1u) << text;
  }
  const Gguf greedy = written(folder, R"({"do_sample":false,"temperature":0.6})");
  EXPECT_EQ(greedy.metadata->find_float("general.sampling.temp"), 0);
}

TEST(ConvertSampling, RefusesWhatIsNoNumber) {
  const testutil::TemporaryFolder folder;
  for (const char* text :
       {"[]", R"({"temperature":"hot"})", R"({"top_p":1e39})", R"({"suppress_tokens":[-1]})", R"({"suppress_tokens":3})"})
    EXPECT_THROW(written(folder, text), Error) << text;
}

}  // namespace
}  // namespace infernum
