// check() must reject a value that no describe() can put into words, naming describe in the error.
#include "core/check.h"

struct Opaque {};

void reports_what_it_can() { infernum::check(false, "plain values are described", 1, "text"); }

#ifndef INFERNUM_COMPILES
void reports_what_it_cannot(const Opaque& value) { infernum::check(false, "a type without words", value); }
#endif
