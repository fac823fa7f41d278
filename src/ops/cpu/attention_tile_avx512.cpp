// attend_tile() compiled for AVX512.
#include "ops/cpu/attention_tile_impl.h"

namespace infernum {

AttendTile attend_tile_avx512(DType cache);
AttendTile attend_tile_avx512(DType cache) { return attend_tile_here(cache); }

}  // namespace infernum
