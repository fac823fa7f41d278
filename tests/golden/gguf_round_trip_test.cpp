// Every family from a GGUF file that `infernum convert` wrote of it: the logits are those of the reference.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "checkpoint/convert.h"
#include "checkpoint/test_files.h"
#include "support/golden.h"
#include "support/run_model.h"

namespace infernum {
namespace {

using test::Golden;

constexpr double tolerance = 1e-4;

class GgufRoundTrip : public testing::TestWithParam<std::string> {
 protected:
  double logits_error(const std::string& file, const std::string& prompt) const {
    const Golden golden(test::data("models/" + GetParam() + "/golden.safetensors"));
    const auto ids = golden.ids(prompt + ".ids");
    const auto want = golden.floats(prompt + ".logits");
    ModelOptions options;
    options.threads = 2;
    options.bf16_frequencies = true;  // see families_test.cpp, as for the length
    if (GetParam() == "phi3-longrope") options.max_model_len = static_cast<int64_t>(ids.size());
    const auto model = load_model(open_checkpoint(file), options);
    auto got = test::SingleSequence(*model, static_cast<int64_t>(ids.size())).append(ids);
    got.erase(got.begin(), got.end() - static_cast<std::ptrdiff_t>(want.size()));
    return test::relative_error(got, want);
  }
};

TEST_P(GgufRoundTrip, LogitsEqualTheReference) {
  const testutil::TemporaryFolder folder;
  const std::string file = folder / "model.gguf";
  convert_to_gguf({test::data("models/" + GetParam()), file, std::nullopt, 2, {}});
  for (const char* prompt : {"prompt0", "prompt1", "prompt2", "prompt3"}) EXPECT_LE(logits_error(file, prompt), tolerance) << prompt;
}

/// All golden checkpoints but llama-dynamic and qwen2-swa, whose rope scaling and window the format cannot express (a warning says so).
std::set<std::string> folders() {
  std::set<std::string> list;
  for (const auto& entry : std::filesystem::directory_iterator(test::data("models")))
    if (std::filesystem::exists(entry.path() / "golden.safetensors")) list.insert(entry.path().filename());
  list.erase("llama-dynamic");
  list.erase("qwen2-swa");
  return list;
}

INSTANTIATE_TEST_SUITE_P(All, GgufRoundTrip, testing::ValuesIn(folders()), [](const auto& p) {
  std::string name = p.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace infernum
