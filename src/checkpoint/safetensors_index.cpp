#include "checkpoint/safetensors_index.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "checkpoint/safetensors.h"
#include "checkpoint/tensor_names.h"
#include "checkpoint/text_file.h"
#include "core/check.h"
#include "core/log.h"

namespace infernum {
namespace {

using WeightMap = std::map<std::string, std::string, std::less<>>;

/// A shard may not lead out of the folder of its index.
void check_shard_name(const std::string& shard, const std::string& path) {
  const bool bare = shard.find_first_of(std::string_view("/\\:\0", 4)) == shard.npos && shard.find("..") == shard.npos;
  check(bare && shard.ends_with(".safetensors") && shard.size() <= 255,
        "safetensors index: a shard is a bare file name ending in .safetensors, not", printable(shard), "in", path);
}

/// Takes the strings of the top-level object weight_map; anything else in the file is informational.
class IndexEvents {
 public:
  IndexEvents(WeightMap& map, const std::string& path) : map_(map), path_(path) {}
  bool seen() const { return seen_; }

  bool null() { return other(); }
  bool boolean(bool) { return other(); }
  bool number_integer(int64_t) { return other(); }
  bool number_unsigned(uint64_t) { return other(); }
  bool number_float(double, const std::string&) { return other(); }
  bool binary(std::vector<uint8_t>&) { return other(); }
  bool string(std::string& value) {
    if (!in_map_ || depth_ != 2) return other();
    check_shard_name(value, path_);
    check(map_.emplace(key_, value).second, "safetensors index: duplicate tensor name", printable(key_), "in", path_);
    return true;
  }
  bool key(std::string& value) {
    if (depth_ == 1) {
      in_map_ = value == "weight_map";
      check(!in_map_ || !seen_, "safetensors index: duplicate key weight_map in", path_);
      seen_ = seen_ || in_map_;
    }
    key_ = value;
    return true;
  }
  bool start_object(size_t) {
    if (depth_ != 1) other();
    return descend();
  }
  bool end_object() { return depth_--, true; }
  bool start_array(size_t) { return other(), descend(); }
  bool end_array() { return depth_--, true; }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) {
    fail("safetensors index: not valid JSON", path_, error.what());
  }

 private:
  bool descend() {
    check(depth_ < 8, "safetensors index: nested too deeply", path_);
    return depth_++, true;
  }
  bool other() {
    check(!in_map_ || depth_ == 0, "safetensors index: weight_map maps tensor names to file names", path_, "at", printable(key_));
    return true;
  }

  WeightMap& map_;
  const std::string& path_;
  int depth_ = 0;
  bool in_map_ = false, seen_ = false;
  std::string key_;
};

std::string sibling(const std::string& path, const std::string& name) {
  return (std::filesystem::path(path).parent_path() / name).string();
}

}  // namespace

WeightMap parse_safetensors_index(std::string_view json, const std::string& path) {
  check(json.find('\0') == json.npos, "safetensors index: not valid JSON", path, "holds a NUL byte");
  WeightMap map;
  IndexEvents events(map, path);
  nlohmann::json::sax_parse(json.data(), json.data() + json.size(), &events);
  check(events.seen(), "safetensors index: has no weight_map", path);
  return map;
}

void add_safetensors(const std::string& path, Opening opening, TensorSource& tensors) {
  for (StoredTensor& tensor : open_safetensors(path, opening).tensors) {
    tensor.name = strip_wrapper(tensor.name);
    tensors.add(std::move(tensor));
  }
}

void add_sharded_safetensors(const std::string& index_path, Opening opening, TensorSource& tensors) {
  const WeightMap map = parse_safetensors_index(read_text_file(index_path), index_path);
  std::map<std::string, std::set<std::string_view>> shards;
  for (const auto& [name, shard] : map) shards[shard].insert(name);
  for (auto& [shard, expected] : shards) {
    const std::string path = sibling(index_path, shard);
    if (opening == Opening::HeadersOnly && !std::filesystem::exists(path)) continue;
    size_t unlisted = 0;
    std::string first_unlisted;
    for (StoredTensor& tensor : open_safetensors(path, opening).tensors) {
      const auto place = map.find(tensor.name);
      if (place == map.end() && unlisted++ == 0) first_unlisted = tensor.name;
      check(place == map.end() || place->second == shard, "safetensors index: a tensor lies in another shard than the index says",
            printable(tensor.name), "in", shard, "not", place == map.end() ? std::string() : place->second);
      expected.erase(tensor.name);
      tensor.name = strip_wrapper(tensor.name);
      tensors.add(std::move(tensor));
    }
    std::erase_if(expected, [](std::string_view name) { return ignorable(strip_wrapper(name), 1 << 30); });
    if (!expected.empty()) fail("safetensors index: tensor is missing from its shard", printable(*expected.begin()), "in", path);
    if (unlisted) log_warning(path + ": " + std::to_string(unlisted) + " tensors are not in the index, first " + printable(first_unlisted));
  }
}

}  // namespace infernum
