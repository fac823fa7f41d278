// Hyper-parameters on their way into a GGUF file: values under the prefix of the architecture, the last one set counts.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "checkpoint/gguf_writer.h"

namespace infernum {

class GgufKeys {
 public:
  explicit GgufKeys(std::string prefix) : prefix_(std::move(prefix)) {}

  void integer(const char* name, int64_t value) { values_[name] = static_cast<uint32_t>(value); }
  void number(const char* name, double value) { values_[name] = static_cast<float>(value); }
  void flag(const char* name, bool value) { values_[name] = value; }
  void text(const char* name, std::string value) { values_[name] = std::move(value); }
  void integers(const char* name, const std::vector<int64_t>& values) {
    values_[name] = std::vector<int32_t>(values.begin(), values.end());
  }
  void flags(const char* name, const std::vector<bool>& values) { values_[name] = values; }
  void remove(const char* name) { values_.erase(name); }

  void write(GgufWriter& writer) const {
    for (const auto& [name, value] : values_) writer.set(prefix_ + name, value);
  }

 private:
  std::string prefix_;
  std::map<std::string, GgufWriter::Value> values_;
};

}  // namespace infernum
