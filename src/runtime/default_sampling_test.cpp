// What a checkpoint recommends, what of it the user overrides, and recommendations that are none.
#include "runtime/default_sampling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/gguf.h"
#include "checkpoint/test_files.h"
#include "core/check.h"

namespace infernum {
namespace {

using testutil::GgufBuilder;
using testutil::little_endian;

SamplingParams of_json(const std::string& json, const std::set<std::string, std::less<>>& given = {}, const SamplingParams& asked = {}) {
  Checkpoint checkpoint;
  checkpoint.generation_config_json = json;
  return with_default_sampling(checkpoint, asked, given);
}

SamplingParams of_gguf(const GgufBuilder& builder, const std::set<std::string, std::less<>>& given = {}) {
  const std::string file = builder.file();
  Checkpoint checkpoint;
  checkpoint.gguf =
      parse_gguf({reinterpret_cast<const std::byte*>(file.data()), file.size()}, "x.gguf", nullptr, Opening::HeadersOnly).metadata;
  return with_default_sampling(checkpoint, {}, given);
}

TEST(DefaultSampling, OfGenerationConfig) {
  const SamplingParams s = of_json(
      R"({"temperature":0.6,"top_k":20,"top_p":0.95,"min_p":0.05,"typical_p":0.9,"repetition_penalty":1.1,
        "do_sample":true,"eos_token_id":2})");
  EXPECT_FLOAT_EQ(s.temperature, 0.6f);
  EXPECT_EQ(s.top_k, 20);
  EXPECT_FLOAT_EQ(s.top_p, 0.95f);
  EXPECT_FLOAT_EQ(s.min_p, 0.05f);
  EXPECT_FLOAT_EQ(s.typical_p, 0.9f);
  EXPECT_FLOAT_EQ(s.repetition_penalty, 1.1f);
}

TEST(DefaultSampling, TheUserWins) {
  SamplingParams asked;
  asked.temperature = 0.25;
  asked.top_k = 3;
  const SamplingParams s = of_json(R"({"temperature":0.6,"top_k":20,"top_p":0.5,"do_sample":false})", {"temperature", "top_k"}, asked);
  EXPECT_EQ(s.temperature, 0.25f);
  EXPECT_EQ(s.top_k, 3);
  EXPECT_EQ(s.top_p, 0.5f);
}

TEST(DefaultSampling, NoSamplingMeansGreedy) {
  EXPECT_EQ(of_json(R"({"do_sample":false,"temperature":0.6})").temperature, 0);
  EXPECT_EQ(of_json(R"({"do_sample":null,"temperature":null})").temperature, 1);
  EXPECT_EQ(of_json("").temperature, 1);
}

TEST(DefaultSampling, SuppressedTokens) {
  EXPECT_THAT(of_json(R"({"suppress_tokens":[258883,7],"top_k":64})").suppress_tokens, testing::ElementsAre(258883, 7));
  EXPECT_THAT(of_json(R"({"suppress_tokens":null})").suppress_tokens, testing::IsEmpty());
  for (const char* json : {R"({"suppress_tokens":7})", R"({"suppress_tokens":[-1]})", R"({"suppress_tokens":[1.5]})",
                           R"({"suppress_tokens":[4294967296]})", R"({"suppress_tokens":["a"]})"})
    EXPECT_THROW(of_json(json), Error) << json;
}

TEST(DefaultSampling, RefusesWhatIsNoNumber) {
  for (const char* json : {"[]", "{", R"({"top_k":1.5})", R"({"top_k":1e300})", R"({"temperature":"hot"})", R"({"temperature":1e39})",
                           R"({"do_sample":"no"})", R"({"top_p":[0.5]})"})
    EXPECT_THROW(of_json(json), Error) << json;
}

TEST(DefaultSampling, OfGgufMetadata) {
  GgufBuilder b;
  b.f32("general.sampling.temp", 0.7f).raw("general.sampling.top_k", 5, little_endian<int32_t>(40));
  b.f32("general.sampling.top_p", 0.8f).f32("general.sampling.min_p", 0.1f).f32("general.sampling.penalty_repeat", 1.05f);
  const SamplingParams s = of_gguf(b), kept = of_gguf(b, {"top_p"});
  EXPECT_EQ(s.temperature, 0.7f);
  EXPECT_EQ(s.top_k, 40);
  EXPECT_EQ(s.top_p, 0.8f);
  EXPECT_EQ(s.min_p, 0.1f);
  EXPECT_EQ(s.repetition_penalty, 1.05f);
  EXPECT_EQ(kept.top_p, 1);
}

TEST(DefaultSampling, GgufMayNameTokensThatAreNeverChosen) {
  GgufBuilder b;
  b.raw("tokenizer.ggml.suppress_tokens", 9,
        little_endian<uint32_t>(5) + little_endian<uint64_t>(3) + little_endian<int32_t>(258883) + little_endian<int32_t>(-1) +
            little_endian<int32_t>(7));
  EXPECT_THAT(of_gguf(b).suppress_tokens, testing::ElementsAre(258883, 7));
}

TEST(DefaultSampling, GgufSpellingsOfOff) {
  GgufBuilder b;
  b.f32("general.sampling.temp", -1).raw("general.sampling.top_k", 5, little_endian<int32_t>(-1));
  b.f32("general.sampling.penalty_repeat", 1.5f).raw("general.sampling.penalty_last_n", 5, little_endian<int32_t>(0));
  const SamplingParams s = of_gguf(b);
  EXPECT_EQ(s.temperature, 0);
  EXPECT_EQ(s.top_k, 0);
  EXPECT_EQ(s.repetition_penalty, 1);
  EXPECT_THROW(of_gguf(GgufBuilder().string("general.sampling.temp", "hot")), Error);
}

}  // namespace
}  // namespace infernum
