// How a tensor relates to the ranks of a tensor-parallel group.
#pragma once
#include <concepts>

namespace infernum {

struct Full {};     ///< every rank holds the whole value
struct Shard {};    ///< every rank holds its own part of one dimension
struct Partial {};  ///< every rank holds a summand of the value; only a collective makes it complete

template <class L>
concept Layout = std::same_as<L, Full> || std::same_as<L, Shard> || std::same_as<L, Partial>;
/// Values that non-linear ops may read.
template <class L>
concept Complete = std::same_as<L, Full> || std::same_as<L, Shard>;

}  // namespace infernum
