// attend_tile() compiled for AVX512.
#include "ops/cpu/attention_tile_impl.h"

namespace infernum {

AttendTile attend_tile_avx512(DType cache, KeyLayout keys);
AttendTile attend_tile_avx512(DType cache, KeyLayout keys) { return attend_tile_here(cache, keys); }

}  // namespace infernum
