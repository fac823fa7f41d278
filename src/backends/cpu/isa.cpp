#include "backends/cpu/isa.h"

#include "core/check.h"

namespace infernum {

Isa best_isa() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16"))
    return Isa::Avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::Avx2;
#endif
  return Isa::Portable;
}

std::string describe(Isa isa) { return isa == Isa::Avx512 ? "avx512" : isa == Isa::Avx2 ? "avx2" : "portable"; }

Isa parse_isa(std::string_view name) {
  for (Isa isa : {Isa::Portable, Isa::Avx2, Isa::Avx512})
    if (describe(isa) == name) {
      check(isa <= best_isa(), "isa: this processor lacks the instruction set asked for", name, "best here:", describe(best_isa()));
      return isa;
    }
  fail("isa: one of portable, avx2, avx512", name);
}

}  // namespace infernum
