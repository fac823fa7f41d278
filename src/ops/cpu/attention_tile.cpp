// attend_tile() for any processor, and the choice between the levels.
#include "ops/cpu/attention_tile_impl.h"

namespace infernum {

#if defined(__x86_64__)
AttendTile attend_tile_avx2(DType cache, KeyLayout keys);
AttendTile attend_tile_avx512(DType cache, KeyLayout keys);
#endif

AttendTile attend_tile(Isa isa, DType cache, KeyLayout keys) {
#if defined(__x86_64__)
  if (isa == Isa::Avx512) return attend_tile_avx512(cache, keys);
  if (isa == Isa::Avx2) return attend_tile_avx2(cache, keys);
#endif
  return (void)isa, attend_tile_here(cache, keys);
}

}  // namespace infernum
