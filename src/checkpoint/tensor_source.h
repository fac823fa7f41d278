// The tensors of a checkpoint by name, whichever files they lie in.
#pragma once
#include <set>
#include <string_view>

#include "checkpoint/stored_tensor.h"

namespace infernum {

/// One table name -> tensor, iterated in the order of the names. Tensors keep their address for the life of the source.
class TensorSource {
 public:
  /// Throws if the name is taken.
  void add(StoredTensor tensor);
  /// Null when there is no tensor of that name.
  const StoredTensor* find(std::string_view name) const;
  /// Takes the tensor out of the table; throws when it is not there.
  StoredTensor take(std::string_view name);

  size_t size() const { return tensors_.size(); }
  bool empty() const { return tensors_.empty(); }
  int64_t bytes() const;
  /// Throws when a file was truncated or written to since it was opened.
  void check_files_unchanged() const;
  auto begin() const { return tensors_.begin(); }
  auto end() const { return tensors_.end(); }

 private:
  struct ByName {
    using is_transparent = void;
    bool operator()(const StoredTensor& a, const StoredTensor& b) const { return a.name < b.name; }
    bool operator()(const StoredTensor& a, std::string_view b) const { return a.name < b; }
    bool operator()(std::string_view a, const StoredTensor& b) const { return a < b.name; }
  };
  std::set<StoredTensor, ByName> tensors_;
};

}  // namespace infernum
