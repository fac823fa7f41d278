// Weights: a name scope over a source of tensors. w / "mlp" / "up_proj" names model....mlp.up_proj; a missing name fails with its full
// path.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "formats/linear_weight.h"
#include "formats/slice.h"

namespace infernum {

/// Where weights come from: a checkpoint, random numbers, or a description without data.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual bool has(const std::string& name) const = 0;
  /// The stored shape of this name; nothing when it is absent or only described.
  virtual std::optional<Shape> shape(const std::string& name) const = 0;
  /// The tensor of this name; throws unless it exists with exactly this shape.
  virtual StoredTensor read(const std::string& name, const Shape& shape) = 0;
};

/// Which dimension of a matrix (n, k) is divided among ranks.
enum class Split { None, Rows, Cols };

/// This rank's part. n (or k) must be divisible by the ranks, and by whole blocks.
StoredTensor split(const StoredTensor& t, Split how, int rank, int ranks);

/// f of every element of a vector, in F32; without data where there is none.
StoredTensor mapped(const StoredTensor& t, float (*f)(float));

/// The number in a tensor (1); 1 where only the header was read.
float read_scalar(const StoredTensor& t);

template <class B>
class Weights {
 public:
  Weights(Device<B>& device, WeightSource& source) : device_(&device), source_(&source) {}

  Weights operator/(std::string_view name) const {
    Weights inner = *this;
    inner.path_ += (path_.empty() ? "" : ".") + std::string(name);
    return inner;
  }
  Weights operator/(int64_t index) const { return *this / std::to_string(index); }

  Device<B>& device() const { return *device_; }
  const std::string& path() const { return path_; }
  WeightSource& source() const { return *source_; }
  bool has(std::string_view leaf) const { return source_->has(name(leaf)); }

  /// As stored, whole, on every rank.
  Tensor<B> tensor(std::string_view leaf, const Shape& shape) const { return place(*device_, source_->read(name(leaf), shape)); }
  /// A vector in F32, whole, plus `offset`.
  Tensor<B> vector(std::string_view leaf, int64_t n, float offset = 0) const {
    return place_f32(*device_, source_->read(name(leaf), {n}), offset);
  }
  /// A vector of one number, on the host; 1 where there is no data.
  float scalar(std::string_view leaf) const { return read_scalar(source_->read(name(leaf), {1})); }
  /// A vector in F32, this rank's part of it.
  Tensor<B, Shard> vector_part(std::string_view leaf, int64_t n) const {
    return relabel<Shard>(place_f32(*device_, split(source_->read(name(leaf), {n}), Split::Rows, device_->rank, device_->ranks)));
  }
  /// The same with f of every element.
  Tensor<B, Shard> vector_part(std::string_view leaf, int64_t n, float (*f)(float)) const {
    const StoredTensor t = mapped(source_->read(name(leaf), {n}), f);
    return relabel<Shard>(place_f32(*device_, split(t, Split::Rows, device_->rank, device_->ranks)));
  }
  /// A matrix (n, k), this rank's part of it, in whatever format it is stored.
  LinearWeight<B> linear(std::string_view leaf, int64_t n, int64_t k, Split how) const {
    return load_weight<B>(*device_, split(source_->read(name(leaf), {n, k}), how, device_->rank, device_->ranks));
  }
  /// Rows first .. first + n of a matrix (total, k) that holds several, as their own matrix.
  LinearWeight<B> linear_rows(std::string_view leaf, int64_t total, int64_t first, int64_t n, int64_t k, Split how) const {
    return load_weight<B>(*device_,
                          split(slice_rows(source_->read(name(leaf), {total, k}), first, first + n), how, device_->rank, device_->ranks));
  }
  /// What is stored under this name, not yet on the device.
  StoredTensor stored(std::string_view leaf, const Shape& shape) const { return source_->read(name(leaf), shape); }

 private:
  std::string name(std::string_view leaf) const { return path_.empty() ? std::string(leaf) : path_ + "." + std::string(leaf); }

  Device<B>* device_;
  WeightSource* source_;
  std::string path_;
};

}  // namespace infernum
