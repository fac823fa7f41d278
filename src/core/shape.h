// Shape: up to four dimensions by value, outermost first.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "core/check.h"

namespace infernum {

class Shape {
 public:
  static constexpr int max_rank = 4;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    check(dims.size() <= max_rank, "shape: at most 4 dimensions", dims.size());
    for (int64_t d : dims) push_back(d);
  }
  int rank() const { return rank_; }
  int64_t operator[](int i) const { return size_[static_cast<size_t>(i)]; }
  int64_t last() const { return size_[static_cast<size_t>(rank_ - 1)]; }
  int64_t elements() const { return product(rank_); }
  /// Product of all dimensions but the last.
  int64_t rows() const { return product(rank_ - 1); }
  Shape with_last(int64_t n) const {
    Shape s = *this;
    s.size_[static_cast<size_t>(rank_ - 1)] = n;
    return s;
  }
  Shape with_first(int64_t n) const {
    Shape s = *this;
    s.size_[0] = n;
    return s;
  }
  /// (n, ...) with this shape as the rest.
  Shape prepended(int64_t n) const {
    Shape s{n};
    for (int i = 0; i < rank_; i++) s.push_back(size_[static_cast<size_t>(i)]);
    return s;
  }
  void push_back(int64_t d) {
    check(rank_ < max_rank, "shape: at most 4 dimensions");
    check(d >= 0, "shape: a dimension is not negative", d);
    size_[static_cast<size_t>(rank_++)] = d;
  }
  bool operator==(const Shape&) const = default;

 private:
  /// Sizes come from files: throws when the product is beyond any tensor there is, so that sums of bytes cannot overflow.
  int64_t product(int dimensions) const;
  std::array<int64_t, max_rank> size_{};
  int rank_ = 0;
};

inline std::string describe(const Shape& s) {
  std::string text = "(";
  for (int i = 0; i < s.rank(); i++) text += (i ? ", " : "") + std::to_string(s[i]);
  return text + ")";
}

inline int64_t Shape::product(int dimensions) const {
  constexpr int64_t limit = int64_t{1} << 40;
  int64_t n = 1;
  bool overflow = false;
  for (int i = 0; i < dimensions; i++) {
    const int64_t d = size_[static_cast<size_t>(i)];
    if (d == 0) return 0;
    overflow = overflow || n > limit / d;
    n = overflow ? 1 : n * d;
  }
  check(!overflow, "shape: too many elements", *this);
  return n;
}

}  // namespace infernum
