#include "checkpoint/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/safetensors_index.h"
#include "checkpoint/tensor_names.h"
#include "checkpoint/test_files.h"
#include "core/check.h"

namespace infernum {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testutil::error_of;
using testutil::safetensors_of;
using testutil::TemporaryFolder;

std::string rejected(const std::string& path) {
  return error_of([&] { open_checkpoint(path); });
}

TEST(Checkpoint, OpensTheStoryteller) {
  const Checkpoint c = open_checkpoint("models/storyteller");
  EXPECT_THAT(c.config_json, HasSubstr("LlamaForCausalLM"));
  EXPECT_THAT(c.generation_config_json, HasSubstr("top_p"));
  EXPECT_THAT(c.tokenizer_json, HasSubstr("\"model\""));
  EXPECT_THAT(c.chat_template, HasSubstr("<|im_start|>assistant"));
  EXPECT_THAT(c.eos_token_ids, ElementsAre(0, 2));
  EXPECT_EQ(c.gguf, nullptr);
  const StoredTensor* q = c.tensors.find("model.layers.7.self_attn.q_proj.weight");
  ASSERT_NE(q, nullptr);
  EXPECT_EQ(q->shape, (Shape{256, 256}));
  EXPECT_EQ(q->dtype, DType::BF16);
  EXPECT_NE(q->file, nullptr);
  EXPECT_EQ(c.tensors.find("model.layers.8.self_attn.q_proj.weight"), nullptr);
  const Checkpoint single = open_checkpoint("models/storyteller/model.safetensors");
  EXPECT_EQ(single.tensors.size(), c.tensors.size());
  EXPECT_EQ(single.config_json, c.config_json);
}

TEST(Checkpoint, TensorsOutliveTheCheckpoint) {
  StoredTensor norm;
  {
    const Checkpoint c = open_checkpoint("models/storyteller");
    norm = *c.tensors.find("model.norm.weight");
  }
  uint16_t first = 0;
  std::memcpy(&first, norm.data, 2);
  EXPECT_NE(first, 0);
}

TEST(Checkpoint, NoticesAChangedFile) {
  const TemporaryFolder folder;
  folder.write("config.json", "{}");
  const std::string file = folder.write("model.safetensors", safetensors_of({"t"}));
  const Checkpoint c = open_checkpoint(folder.path());
  c.tensors.check_files_unchanged();
  std::filesystem::resize_file(file, 20);
  EXPECT_THAT(error_of([&] { c.tensors.check_files_unchanged(); }), AllOf(HasSubstr("changed size"), HasSubstr("model.safetensors")));
}

TEST(Checkpoint, OpensTheFamilies) {
  int opened = 0;
  for (const auto& entry : std::filesystem::directory_iterator(INFERNUM_BINARY_DIR "/data/models")) {
    const Checkpoint c = open_checkpoint(entry.path().string());
    EXPECT_NE(c.tensors.find("model.embed_tokens.weight"), nullptr) << entry.path();
    opened++;
  }
  EXPECT_GT(opened, 30);
}

TEST(Checkpoint, JoinsShards) {
  const TemporaryFolder folder;
  folder.write("config.json", "{}");
  folder.write("a.safetensors", safetensors_of({"model.norm.weight", "unlisted"}));
  folder.write("b.safetensors", safetensors_of({"lm_head.weight"}));
  const std::string index = folder.write("model.safetensors.index.json", R"({"metadata":{"total_size":4.0},"weight_map":{
      "model.norm.weight":"a.safetensors","lm_head.weight":"b.safetensors"}})");
  for (const std::string& path : {folder.path(), index}) {
    const Checkpoint c = open_checkpoint(path);
    EXPECT_EQ(c.tensors.size(), 3u);
    EXPECT_EQ(c.tensors.bytes(), 6);
    EXPECT_NE(c.tensors.find("lm_head.weight")->file, c.tensors.find("unlisted")->file);
  }
  EXPECT_THAT(rejected(folder / "a.safetensors"), AllOf(HasSubstr("shard of an index"), HasSubstr("a.safetensors")));
  folder.write("model.safetensors", safetensors_of({"alone"}));
  EXPECT_EQ(open_checkpoint(folder.path()).tensors.size(), 1u);
}

TEST(Checkpoint, ShardsMustAgreeWithTheIndex) {
  const TemporaryFolder folder;
  folder.write("config.json", "{}");
  const auto with_index = [&](const std::string& map) {
    folder.write("model.safetensors.index.json", "{\"weight_map\":" + map + "}");
    return rejected(folder.path());
  };
  folder.write("a.safetensors", safetensors_of({"x"}));
  folder.write("b.safetensors", safetensors_of({"x", "y"}));
  EXPECT_THAT(with_index(R"({"x":"a.safetensors","z":"a.safetensors"})"), AllOf(HasSubstr("missing from its shard"), HasSubstr("\"z\"")));
  EXPECT_THAT(with_index(R"({"x":"a.safetensors","y":"b.safetensors"})"), AllOf(HasSubstr("another shard"), HasSubstr("\"x\"")));
  EXPECT_THAT(with_index(R"({"x":"c.safetensors"})"), AllOf(HasSubstr("cannot open file"), HasSubstr("c.safetensors")));
  folder.write("c.safetensors", safetensors_of({"unlisted"}));
  folder.write("d.safetensors", safetensors_of({"unlisted", "y"}));
  EXPECT_THAT(with_index(R"({"x":"a.safetensors","y":"d.safetensors","v":"c.safetensors"})"), HasSubstr("missing from its shard"));
  folder.write("c.safetensors", safetensors_of({"unlisted", "v"}));
  EXPECT_THAT(with_index(R"({"x":"a.safetensors","y":"d.safetensors","v":"c.safetensors"})"),
              AllOf(HasSubstr("same name"), HasSubstr("c.safetensors")));
}

TEST(Checkpoint, IndexIsHostileInput) {
  const auto bad = [](const std::string& json) { return error_of([&] { parse_safetensors_index(json, "index.json"); }); };
  for (const char* name : {"../x.safetensors", "/x.safetensors", "a\\\\b.safetensors", "C:x.safetensors", "x\\u0000.safetensors", "x.bin"})
    EXPECT_THAT(bad(std::string(R"({"weight_map":{"t":")") + name + "\"}}"), HasSubstr("a shard is a bare file name")) << name;
  EXPECT_THAT(bad(R"({"weight_map":{"t":"a.safetensors","t":"b.safetensors"}})"),
              AllOf(HasSubstr("duplicate tensor name"), HasSubstr("\"t\"")));
  EXPECT_THAT(bad(R"({"weight_map":{},"weight_map":{}})"), HasSubstr("duplicate key weight_map"));
  EXPECT_THAT(bad(R"({"weight_map":[]})"), HasSubstr("maps tensor names to file names"));
  EXPECT_THAT(bad(R"({"weight_map":{"t":{}}})"), HasSubstr("maps tensor names to file names"));
  EXPECT_THAT(bad(R"({"weight_map":3})"), HasSubstr("maps tensor names to file names"));
  EXPECT_THAT(bad("{}"), HasSubstr("has no weight_map"));
  EXPECT_THAT(bad("[\"weight_map\"]"), HasSubstr("has no weight_map"));
  EXPECT_THAT(bad("{"), HasSubstr("not valid JSON"));
  EXPECT_THAT(bad("{\"x\":" + std::string(100000, '[')), HasSubstr("nested too deeply"));
  EXPECT_EQ(parse_safetensors_index(R"({"metadata":{"a":[1,{}]},"weight_map":{}})", "i").size(), 0u);
}

TEST(Checkpoint, SaysWhatIsMissing) {
  const TemporaryFolder folder;
  EXPECT_THAT(rejected(folder / "nothing"), HasSubstr("no such file or folder"));
  EXPECT_THAT(rejected(folder.path()), AllOf(HasSubstr("cannot open file"), HasSubstr("config.json")));
  folder.write("config.json", "{\"model_type\":\"llama\"}");
  EXPECT_THAT(rejected(folder.path()), AllOf(HasSubstr("neither model.safetensors nor"), HasSubstr("no weight files")));
  EXPECT_TRUE(open_checkpoint(folder.path(), Opening::HeadersOnly).tensors.empty());
  folder.write("consolidated.safetensors", "");
  EXPECT_THAT(rejected(folder.path()), HasSubstr("found consolidated.safetensors"));
  EXPECT_THAT(rejected(folder.write("model.onnx", "")), HasSubstr("expected a folder, a .safetensors file or a .gguf file"));
  folder.write("model.safetensors.index.json", R"({"weight_map":{"t":"a.safetensors"}})");
  EXPECT_TRUE(open_checkpoint(folder.path(), Opening::HeadersOnly).tensors.empty());
}

TEST(Checkpoint, StopTokensFromEveryPlace) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", safetensors_of({"t"}));
  folder.write("config.json", R"({"eos_token_id":5,"text_config":{"eos_token_id":[1,9]}})");
  EXPECT_THAT(open_checkpoint(folder.path()).eos_token_ids, ElementsAre(1, 5, 9));
  folder.write("generation_config.json", R"({"eos_token_id":[9,7]})");
  EXPECT_THAT(open_checkpoint(folder.path()).eos_token_ids, ElementsAre(1, 5, 7, 9));
  folder.write("generation_config.json", R"({"eos_token_id":null})");
  EXPECT_THAT(open_checkpoint(folder.path()).eos_token_ids, ElementsAre(1, 5, 9));
  folder.write("generation_config.json", R"({"eos_token_id":-1})");
  EXPECT_THAT(rejected(folder.path()), AllOf(HasSubstr("eos_token_id is a token id"), HasSubstr("generation_config.json")));
  folder.write("generation_config.json", std::string(100, '['));
  EXPECT_THAT(rejected(folder.path()), AllOf(HasSubstr("nested too deeply"), HasSubstr("generation_config.json")));
  folder.write("generation_config.json", "{");
  EXPECT_THAT(rejected(folder.path()), AllOf(HasSubstr("not valid JSON"), HasSubstr("generation_config.json")));
}

TEST(Checkpoint, ChatTemplateInEverySpelling) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", safetensors_of({"t"}));
  folder.write("config.json", "{}");
  const auto read = [&] { return open_checkpoint(folder.path()).chat_template; };
  EXPECT_EQ(read(), "");
  folder.write("tokenizer_config.json", R"({"chat_template":[{"name":"tool_use","template":"T"},{"name":"default","template":"D"}]})");
  EXPECT_EQ(read(), "D");
  folder.write("tokenizer_config.json", R"({"chat_template":"S"})");
  EXPECT_EQ(read(), "S");
  folder.write("chat_template.json", R"({"chat_template":"J"})");
  EXPECT_EQ(read(), "J");
  folder.write("chat_template.jinja", "file");
  EXPECT_EQ(read(), "file");
}

TEST(TensorNames, WrappersAndIgnorableTensors) {
  EXPECT_EQ(strip_wrapper("language_model.model.layers.0.x"), "model.layers.0.x");
  EXPECT_EQ(strip_wrapper("model.language_model.embed_tokens.weight"), "model.embed_tokens.weight");
  EXPECT_EQ(strip_wrapper("language_model.lm_head.weight"), "lm_head.weight");
  EXPECT_EQ(strip_wrapper("model.norm.weight"), "model.norm.weight");
  EXPECT_EQ(layer_index("model.layers.12.mlp.gate.weight"), 12);
  EXPECT_EQ(layer_index("model.layers.x.mlp"), -1);
  EXPECT_EQ(layer_index("model.layers.3"), -1);
  EXPECT_EQ(layer_index("model.layers.-3.x"), -1);
  EXPECT_EQ(layer_index("model.layers.99999999999.x"), -1);
  EXPECT_TRUE(ignorable("model.visual.blocks.0.attn.qkv.weight", 8));
  EXPECT_TRUE(ignorable("vision_tower.x", 8));
  EXPECT_TRUE(ignorable("multi_modal_projector.linear.weight", 8));
  EXPECT_TRUE(ignorable("model.layers.3.self_attn.rotary_emb.inv_freq", 8));
  EXPECT_TRUE(ignorable("mtp.fc.weight", 8));
  EXPECT_TRUE(ignorable("model.layers.8.mlp.gate.weight", 8));
  EXPECT_FALSE(ignorable("model.layers.7.mlp.gate.weight", 8));
  EXPECT_FALSE(ignorable("lm_head.weight", 8));
}

}  // namespace
}  // namespace infernum
