// Loading: what is missing, of another shape or unknown is listed at once, before anything is computed; and the rules of a batch.
#include "models/loader.h"

#include <gtest/gtest.h>

#include <cmath>

#include "models/test_models.h"
#include "ops/batch.h"

namespace infernum {
namespace {

using test::checkpoint_of;
using test::error_of;
using test::tiny_llama;
using test::tiny_llama_tensors;

using Named = std::vector<std::pair<std::string, Shape>>;

void expect_in(const std::string& text, const std::vector<std::string>& parts) {
  for (const auto& part : parts) EXPECT_NE(text.find(part), std::string::npos) << "lacks '" << part << "': " << text;
}

ModelOptions one_thread(int ranks = 1) {
  ModelOptions options;
  options.threads = 1;
  options.ranks = ranks;
  return options;
}

HostBatch tokens(const std::vector<int32_t>& ids) {
  HostBatch b;
  b.ids = ids;
  for (size_t i = 0; i < ids.size(); i++) b.positions.push_back(static_cast<int32_t>(i)), b.out_rows.push_back(static_cast<int32_t>(i));
  b.query_start = {0, static_cast<int32_t>(ids.size())};
  b.block_tables = {{0}};
  return b;
}

TEST(Loader, ACompleteCheckpointLoadsAndRuns) {
  const auto checkpoint = checkpoint_of(tiny_llama(), tiny_llama_tensors());
  std::vector<std::vector<float>> logits;
  for (int ranks : {1, 2}) {
    const auto model = load_model(checkpoint, one_thread(ranks));
    EXPECT_EQ(model->info().family, "llama");
    EXPECT_EQ(model->info().vocab_size, 10);
    model->allocate_cache({1});
    logits.push_back(model->forward(tokens({1, 9, 4})));
    ASSERT_EQ(logits.back().size(), 30u);
    for (float l : logits.back()) ASSERT_TRUE(std::isfinite(l));
  }
  for (size_t i = 0; i < 30; i++) EXPECT_NEAR(logits[0][i], logits[1][i], 1e-5);
}

TEST(Loader, EverythingWrongIsListedAtOnce) {
  Named list = tiny_llama_tensors();
  std::erase_if(list, [](const auto& t) { return t.first == "model.norm.weight" || t.first == "model.layers.1.mlp.up_proj.weight"; });
  for (auto& [name, shape] : list)
    if (name == "model.layers.0.self_attn.k_proj.weight") shape = Shape{8, 4};
  list.emplace_back("model.layers.0.self_attn.sinks", Shape{4});
  const auto text = error_of([&] { load_model(checkpoint_of(tiny_llama(), list), one_thread()); });
  expect_in(text, {"its tensors do not match its config: memory", "missing:", "model.norm.weight (8)",
                   "model.layers.1.mlp.up_proj.weight (12, 8)",
                   "of another shape:", "model.layers.0.self_attn.k_proj.weight is (8, 4), the config says (8, 8)",
                   "unknown to this architecture:", "model.layers.0.self_attn.sinks"});
}

TEST(Loader, LongListsAreCut) {
  auto config = tiny_llama();
  config["num_hidden_layers"] = 4;
  const auto text = error_of([&] { load_model(checkpoint_of(config, {{"model.norm.weight", {8}}}), one_thread()); });
  expect_in(text, {"missing:", "... and "});
  EXPECT_LT(text.size(), 3000u);
  expect_in(error_of([&] { load_model(checkpoint_of(tiny_llama()), one_thread()); }), {"missing:"});
}

TEST(Loader, AMissingExpertIsListed) {
  auto config = tiny_llama();
  config["architectures"] = {"MixtralForCausalLM"};
  config["num_local_experts"] = 3;
  config["num_experts_per_tok"] = 2;
  Named list;
  for (const auto& t : tiny_llama_tensors())
    if (t.first.find(".mlp.") == std::string::npos) list.push_back(t);
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    list.emplace_back(layer + "block_sparse_moe.gate.weight", Shape{3, 8});
    for (const std::string e : {"0", "1", "2"}) {
      list.emplace_back(layer + "block_sparse_moe.experts." + e + ".w1.weight", Shape{12, 8});
      list.emplace_back(layer + "block_sparse_moe.experts." + e + ".w3.weight", Shape{12, 8});
      list.emplace_back(layer + "block_sparse_moe.experts." + e + ".w2.weight", Shape{8, 12});
    }
  }
  const auto complete = checkpoint_of(config, list);
  const auto model = load_model(complete, one_thread());
  model->allocate_cache({1});
  EXPECT_EQ(model->forward(tokens({1, 2})).size(), 20u);
  std::erase_if(list, [](const auto& t) { return t.first == "model.layers.1.block_sparse_moe.experts.2.w3.weight"; });
  const auto text = error_of([&] { load_model(checkpoint_of(config, list), one_thread()); });
  expect_in(text, {"missing:", "model.layers.1.block_sparse_moe.experts.2.w3.weight (12, 8)"});
}

TEST(Loader, WhatMayBeLeftUnreadIsNoError) {
  Named list = tiny_llama_tensors();
  list.emplace_back("model.layers.0.self_attn.rotary_emb.inv_freq", Shape{2});
  EXPECT_EQ(error_of([&] { load_model(checkpoint_of(tiny_llama(), list), one_thread()); }), "no error");
  auto tied = tiny_llama();
  tied["tie_word_embeddings"] = true;
  EXPECT_EQ(error_of([&] { load_model(checkpoint_of(tied, tiny_llama_tensors()), one_thread()); }), "no error")
      << "a copy of the tied matrix";
}

TEST(Loader, TypesThatAreNoWeightsAreNamed) {
  for (const auto& [name, words] : std::vector<std::pair<std::string, std::string>>{
           {"model.norm.weight", "no conversion from this dtype to F32: model.norm.weight I32"},
           {"model.layers.0.mlp.up_proj.weight", "no format for matrices of this dtype: model.layers.0.mlp.up_proj.weight I32"},
           {"model.embed_tokens.weight", "embed: a table of floats or GGUF blocks: I32"}}) {
    Checkpoint c = checkpoint_of(tiny_llama(), tiny_llama_tensors());
    StoredTensor t = c.tensors.take(name);
    t.dtype = DType::I32;
    c.tensors.add(t);
    expect_in(error_of([&] { load_model(c, one_thread()); }), {words});
  }
}

TEST(Loader, ATraceReadsNoData) {
  Checkpoint c;
  c.config_json = tiny_llama().dump();
  for (const auto& [name, shape] : tiny_llama_tensors()) {
    StoredTensor t = test::random_tensor(name, shape);
    t.owner = nullptr;
    t.data = reinterpret_cast<const std::byte*>(uintptr_t{64});  // reading it would end the test
    c.tensors.add(t);
  }
  EXPECT_EQ(error_of([&] { trace_model(c, one_thread(2), 3, false); }), "no error");
}

struct BatchTest : testing::Test {
  ModelInfo info{"test", 100, 8, 2, 1000, false, 1, DType::F32, {}, {{}, {Retention::Kind::Window, 20}}, {}};
  std::vector<int64_t> blocks{8, 8};
  /// Two sequences: positions 0..2 and 40.
  HostBatch good{{1, 2, 3, 4}, {0, 1, 2, 40}, {0, 3, 4}, {{1, 0, 0, 2, 3, 4}, {1, 0, 0, -9, 3, 4}}, {2, 3}};

  std::string message(const std::function<void(HostBatch&)>& change) {
    HostBatch b = good;
    change(b);
    return error_of([&] { check_batch(b, info, blocks); });
  }
};

TEST_F(BatchTest, AGoodOnePasses) {
  EXPECT_EQ(message([](HostBatch&) {}), "no error") << "what a window has passed is not read";
  EXPECT_EQ(message([](HostBatch& b) { b.out_rows.clear(); }), "no error");
  EXPECT_EQ(message([](HostBatch& b) { b.out_rows = {3, 0, 0}; }), "no error");
}

TEST_F(BatchTest, EveryRuleIsChecked) {
  expect_in(message([](HostBatch& b) { b = {}; }), {"as many positions as ids"});
  expect_in(message([](HostBatch& b) { b.positions.pop_back(); }), {"as many positions as ids, and a query_start: 4 3 3"});
  expect_in(message([](HostBatch& b) { b.query_start = {0}; }), {"as many positions as ids, and a query_start"});
  expect_in(message([](HostBatch& b) { b.query_start.clear(); }), {"query_start"});
  expect_in(message([](HostBatch& b) { b.query_start = {1, 3, 4}; }), {"query_start runs from 0 to the number of tokens: 4"});
  expect_in(message([](HostBatch& b) { b.query_start = {0, 3, 5}; }), {"query_start runs from 0"});
  expect_in(message([](HostBatch& b) { b.query_start = {0, 0, 4}; }), {"every sequence has at least one token: 0"});
  expect_in(message([](HostBatch& b) { b.query_start = {0, -1, 4}; }), {"every sequence has at least one token"});
  expect_in(message([](HostBatch& b) { b.query_start = {0, 2000000000, 4}; }), {"query_start runs beyond the tokens: 2000000000 4"});
  expect_in(message([](HostBatch& b) { b.block_tables.pop_back(); }), {"a block table per group of layers: 1 2"});
  expect_in(message([](HostBatch& b) { b.ids[1] = 100; }), {"token id outside of the vocabulary: 100 vocab_size 100"});
  expect_in(message([](HostBatch& b) { b.ids[1] = -1; }), {"token id outside of the vocabulary: -1"});
  for (int32_t row : {-1, 4})
    expect_in(message([row](HostBatch& b) { b.out_rows = {row}; }), {"out_rows beyond the tokens: " + std::to_string(row) + " 4"});
  for (int32_t p : {-1, 1000, INT32_MAX})
    expect_in(message([p](HostBatch& b) { b.positions[3] = p; }), {"position beyond the context: " + std::to_string(p) + " 1000"});
  expect_in(message([](HostBatch& b) { b.positions[1] = 2; }), {"positions of a sequence ascend by one: 2"});
  expect_in(message([](HostBatch& b) { b.positions[2] = 1; }), {"positions of a sequence ascend by one: 1"});
  expect_in(message([](HostBatch& b) { b.positions[3] = 48; }), {"block table too short for the positions: 3 3"});
  expect_in(message([](HostBatch& b) { b.block_tables[0].pop_back(); }), {"block table too short"});
  expect_in(message([](HostBatch& b) { b.block_tables[1].clear(); }), {"block table too short"});
  for (int32_t block : {-1, 8}) {
    expect_in(message([block](HostBatch& b) { b.block_tables[0][4] = block; }),
              {"block beyond the cache: " + std::to_string(block) + " 8"});
    expect_in(message([block](HostBatch& b) { b.block_tables[1][4] = block; }), {"block beyond the cache"});
  }
  blocks = {8};
  expect_in(message([](HostBatch&) {}), {"a block table per group of layers"});
}

TEST(Model, StaysUsableAfterABadBatchAndNeedsACache) {
  const auto model = load_model(checkpoint_of(tiny_llama(), tiny_llama_tensors()), one_thread());
  expect_in(error_of([&] { model->forward(tokens({1})); }), {"block beyond the cache"});
  expect_in(error_of([&] { model->allocate_cache({1, 1}); }), {"blocks per group of layers: 2 1"});
  model->allocate_cache({1});
  const auto before = model->forward(tokens({1, 2, 3}));
  expect_in(error_of([&] { model->forward(tokens({1, 200})); }), {"token id"});
  EXPECT_EQ(model->forward(tokens({1, 2, 3})), before);
  model->allocate_cache({3});
  EXPECT_EQ(model->forward(tokens({1, 2, 3})), before) << "what was cached before does not matter";
}

}  // namespace
}  // namespace infernum
