// FlushDenormals: while one lives, this thread computes with subnormal floats as zero; they cost x86 cores up to 20 times the time of
// others.
#pragma once
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace infernum {

class FlushDenormals {
 public:
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;
#if defined(__x86_64__)
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040); }  // flush-to-zero | denormals-are-zero
  ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
#else
  FlushDenormals() {}
  ~FlushDenormals() {}
#endif
};

}  // namespace infernum
