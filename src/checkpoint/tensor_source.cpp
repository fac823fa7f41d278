#include "checkpoint/tensor_source.h"

#include <utility>
#include <vector>

#include "checkpoint/text_file.h"
#include "core/check.h"
#include "core/mapped_file.h"

namespace infernum {

StoredTensor aligned(const StoredTensor& tensor, size_t alignment) {
  if (reinterpret_cast<uintptr_t>(tensor.data) % alignment == 0) return tensor;
  check(alignment <= alignof(std::max_align_t), "aligned: the alignment of plain memory is the most there is", alignment);
  auto copy = std::make_shared<std::vector<std::byte>>(tensor.data, tensor.data + tensor.bytes);
  StoredTensor moved = tensor;
  moved.data = copy->data();
  moved.owner = std::move(copy);
  moved.file = nullptr;
  return moved;
}

void TensorSource::add(StoredTensor tensor) {
  const auto [place, added] = tensors_.insert(std::move(tensor));
  check(added, "checkpoint: two tensors have the same name", printable(place->name),
        place->file ? "first seen in " + place->file->path() : "");
}

const StoredTensor* TensorSource::find(std::string_view name) const {
  const auto place = tensors_.find(name);
  return place == tensors_.end() ? nullptr : &*place;
}

StoredTensor TensorSource::take(std::string_view name) {
  const auto place = tensors_.find(name);
  check(place != tensors_.end(), "checkpoint: no such tensor", printable(name));
  return std::move(tensors_.extract(place).value());
}

int64_t TensorSource::bytes() const {
  int64_t sum = 0;
  for (const StoredTensor& tensor : tensors_) sum += tensor.bytes;
  return sum;
}

void TensorSource::check_files_unchanged() const {
  std::set<const MappedFile*> files;
  for (const StoredTensor& tensor : tensors_)
    if (tensor.file && files.insert(tensor.file).second) tensor.file->check_unchanged();
}

}  // namespace infernum
