// The engine on the bundled model: alone or with others, in any chunks, with a cache or preempted, a request gets the same tokens.
#include <gtest/gtest.h>

#include "models/loader.h"
#include "runtime/engine_test_support.h"
#include "runtime/model_engine.h"

namespace infernum {
namespace {

using test::Receiver;

ModelOptions options_of(int threads) {
  ModelOptions options;
  options.threads = threads;
  return options;
}

TEST(ModelEngine, ARealModelGivesTheSameTokensHoweverItIsRun) {
  const Checkpoint checkpoint = open_checkpoint(std::string(INFERNUM_SOURCE_DIR) + "/models/storyteller");
  const std::shared_ptr<Model> model = load_model(checkpoint, options_of(2));
  std::vector<EngineRequest> requests;
  for (int i = 0; i < 6; i++) {
    EngineRequest r;
    for (int j = 0; j < 40 + 9 * (i / 2); j++) r.prompt.push_back(300 + (j * j * 7 + (j < 35 ? 0 : i)) % 1500);
    r.max_tokens = 12 + i;
    r.sampling.temperature = i % 2 ? 0.7f : 0;
    r.sampling.seed = static_cast<uint64_t>(i);
    requests.push_back(r);
  }
  const auto run = [&](const ModelEngineOptions& options, bool together) {
    ModelEngine engine(model, options);
    Receiver receiver(engine);
    std::vector<std::vector<int32_t>> tokens;
    for (size_t i = 0; i < requests.size(); i++) {
      EXPECT_EQ(engine.submit(i, requests[i]), Admission::Accepted);
      if (!together) receiver.wait_for(i + 1);
    }
    receiver.wait_for(requests.size());
    for (size_t i = 0; i < requests.size(); i++) tokens.push_back(receiver.tokens(i));
    return tokens;
  };
  ModelEngineOptions plain;
  plain.enable_prefix_caching = false;
  plain.cache_tokens = 2000;
  const auto want = run(plain, false);
  for (size_t i = 0; i < requests.size(); i++) EXPECT_EQ(want[i].size(), static_cast<size_t>(requests[i].max_tokens));
  ModelEngineOptions cached = plain, chunked = plain, crowded = plain;
  cached.enable_prefix_caching = true;
  chunked.max_num_seqs = chunked.max_num_batched_tokens = 7;
  crowded.cache_tokens = 112;
  EXPECT_EQ(run(cached, false), want) << "with the cache";
  EXPECT_EQ(run(cached, true), want) << "with the cache, together";
  EXPECT_EQ(run(chunked, true), want) << "in chunks of 7";
  EXPECT_EQ(run(crowded, true), want) << "with too few blocks for all";
}

}  // namespace
}  // namespace infernum
