// A checkpoint of seventy billion weights opens at once, because its tensors are mapped and not read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "checkpoint/checkpoint.h"
#include "checkpoint/test_files.h"

namespace infernum {
namespace {

using testutil::little_endian;
using testutil::TemporaryFolder;

/// Memory of this process in bytes, now.
int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

/// Header entries and index entries of one shard after another; the data are holes of a sparse file.
class SparseShards {
 public:
  SparseShards(const TemporaryFolder& folder, int count) : folder_(folder), count_(count) {}

  void add(const std::string& name, const std::vector<int64_t>& shape) {
    int64_t bytes = 2;
    std::string dims;
    for (int64_t n : shape) {
      bytes *= n;
      dims += dims.empty() ? "" : ",";
      dims += std::to_string(n);
    }
    header_ += (header_.empty() ? "{\"" : ",\"") + name + R"(":{"dtype":"BF16","shape":[)" + dims + R"(],"data_offsets":[)" +
               std::to_string(end_) + "," + std::to_string(end_ + bytes) + "]}";
    end_ += bytes;
    index_ += (index_.empty() ? "{\"weight_map\":{\"" : ",\"") + name + "\":\"" + shard_name() + "\"";
  }
  void finish_shard() {
    const std::string header = header_ + "}";
    const std::string path = folder_.write(shard_name(), little_endian<uint64_t>(header.size()) + header);
    std::filesystem::resize_file(path, 8 + header.size() + static_cast<uint64_t>(end_));
    total_ += end_;
    header_.clear(), end_ = 0, shard_++;
  }
  int64_t finish() {
    folder_.write("model.safetensors.index.json", index_ + "}}");
    return total_;
  }

 private:
  std::string shard_name() const {
    char text[64];
    std::snprintf(text, sizeof text, "model-%05d-of-%05d.safetensors", shard_, count_);
    return text;
  }

  const TemporaryFolder& folder_;
  int count_, shard_ = 1;
  std::string header_, index_;
  int64_t end_ = 0, total_ = 0;
};

TEST(LargeCheckpoint, SeventyBillionWeightsOpenAtOnce) {
  const TemporaryFolder folder(INFERNUM_BINARY_DIR);
  folder.write("config.json", R"({"model_type":"llama"})");
  constexpr int layers = 80, hidden = 8192, width = 28672, vocabulary = 128256;
  SparseShards shards(folder, layers + 1);
  for (int i = 0; i < layers; i++) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    shards.add(layer + "input_layernorm.weight", {hidden});
    shards.add(layer + "self_attn.q_proj.weight", {hidden, hidden});
    shards.add(layer + "self_attn.k_proj.weight", {1024, hidden});
    shards.add(layer + "self_attn.v_proj.weight", {1024, hidden});
    shards.add(layer + "self_attn.o_proj.weight", {hidden, hidden});
    shards.add(layer + "post_attention_layernorm.weight", {hidden});
    shards.add(layer + "mlp.gate_proj.weight", {width, hidden});
    shards.add(layer + "mlp.up_proj.weight", {width, hidden});
    shards.add(layer + "mlp.down_proj.weight", {hidden, width});
    shards.finish_shard();
  }
  shards.add("model.embed_tokens.weight", {vocabulary, hidden});
  shards.add("model.norm.weight", {hidden});
  shards.add("lm_head.weight", {vocabulary, hidden});
  shards.finish_shard();
  const int64_t total = shards.finish();
  ASSERT_GT(total, int64_t{140} * 1000 * 1000 * 1000);

  const int64_t before = resident_bytes();
  const double start = testutil::processor_seconds();
  const Checkpoint checkpoint = open_checkpoint(folder.path());
  const double took = testutil::processor_seconds() - start;
  EXPECT_EQ(checkpoint.tensors.size(), 9u * layers + 3);
  EXPECT_EQ(checkpoint.tensors.bytes(), total);
  EXPECT_LT(took, 0.5 * testutil::slowdown);
  EXPECT_LT(resident_bytes() - before, 50 << 20);
  const StoredTensor* head = checkpoint.tensors.find("lm_head.weight");
  ASSERT_NE(head, nullptr);
  EXPECT_EQ(head->data[head->bytes - 1], std::byte{0});  // the last byte of the last shard is there
  RecordProperty("milliseconds", static_cast<int>(took * 1000));
  RecordProperty("resident_kb", static_cast<int>((resident_bytes() - before) / 1024));
}

}  // namespace
}  // namespace infernum
