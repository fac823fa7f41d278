// Instruction-set levels of the CPU kernels, chosen once at start.
#pragma once
#include <string>
#include <string_view>

namespace infernum {

/// Each level includes the ones before it. Avx512 stands for F, BW, DQ, VL, VNNI and BF16 together (Ice Lake server + BF16, Zen 4 and
/// later).
enum class Isa { Portable, Avx2, Avx512 };

Isa best_isa();                        ///< what this processor and operating system offer
Isa parse_isa(std::string_view name);  ///< "portable", "avx2", "avx512"; throws on another name or one this machine lacks
std::string describe(Isa isa);

}  // namespace infernum
