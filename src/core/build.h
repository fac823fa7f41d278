// What this build contains.
#pragma once

namespace infernum {

#ifdef INFERNUM_HAS_CUDA
inline constexpr bool has_cuda = true;  ///< the CUDA backend is compiled in; whether there is a device shows at run time
#else
inline constexpr bool has_cuda = false;
#endif

}  // namespace infernum
