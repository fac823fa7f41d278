// BlasLt: cuBLASLt, loaded when first needed, so that a program with the CUDA backend starts on machines without CUDA's libraries.
#pragma once

namespace infernum {

class BlasLt {};

}  // namespace infernum
