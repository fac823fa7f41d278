// The codebook of IQ3_S: 512 vectors of four odd numbers from 1 to 15. Which vectors they are comes from ggml (src/ggml-common.h):
//
//   MIT License. Copyright (c) 2023-2026 The ggml authors
//
//   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the
//   "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish,
//   distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject
//   to the following conditions: The above copyright notice and this permission notice shall be included in all copies or substantial
//   portions of the Software. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED
//   TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT
//   HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF
//   OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace infernum {

/// Bit c is set where the vector with code c is in the grid; octal digit k of c (lowest first) is (element k - 1) / 2.
inline constexpr uint64_t iq3s_bitmap[64] = {
    0x92050aa5082357a7, 0x0422001022892317, 0x09000aa4112249a3, 0x228005104a052208, 0x0100020904128801, 0x084000a208450014,
    0x0200040002000a40, 0x0000110008450015, 0x040250005205ab17, 0x410005020902114b, 0x040120090411a401, 0x0104000211820992,
    0x000011440a001428, 0x0000020005020902, 0x0000005000910000, 0x010400022002050a, 0x2980052a058a55ab, 0x0000020412248905,
    0x12008802810a0092, 0x004001040a140225, 0x2400000224090082, 0x0100080180040210, 0x0002200000020085, 0x0000010801400220,
    0x020802942a04aa04, 0x44010001000a102a, 0x0000010014010401, 0x0800208a018a1102, 0x0011040002044208, 0x0800401004200502,
    0x0000000200004000, 0x000000002005000a, 0x0100010204910411, 0x0000220821040a84, 0x010480010802210a, 0x0000000022050a10,
    0x0200000180100005, 0x00040000000200a0, 0x0001000010000800, 0x0000020801002100, 0x1040049100041104, 0x040000000402042a,
    0x0000080041080201, 0x0820021000800184, 0x0000004004010012, 0x00000a0000400400, 0x0000000400000000, 0x0000000000040014,
    0x000100000a002a00, 0x0010000000810001, 0x0104200410000400, 0x0000000100021001, 0x0004000800200000, 0x0001000010000009,
    0x0000000100000020, 0x0000000000000a00, 0x0004100140050091, 0x0000002800100204, 0x0000020001024112, 0x0000080024000004,
    0x0000010000010822, 0x0000000400040000, 0x0000000002000004, 0x0000000000000001};

using Iq3sGrid = std::array<std::array<uint8_t, 4>, 512>;

/// The grid: the codes of the bitmap in ascending order, spelled out.
constexpr Iq3sGrid expand_iq3s_grid() {
  Iq3sGrid grid{};
  std::size_t entry = 0;
  for (unsigned code = 0; code < 4096; ++code)
    if (iq3s_bitmap[code / 64] >> code % 64 & 1) {
      for (unsigned k = 0; k < 4; ++k) grid[entry][k] = static_cast<uint8_t>(2 * (code >> 3 * k & 7) + 1);
      ++entry;
    }
  return grid;
}
inline constexpr Iq3sGrid iq3s_grid = expand_iq3s_grid();
static_assert(iq3s_grid[511][3] != 0, "the bitmap has 512 entries");

}  // namespace infernum
