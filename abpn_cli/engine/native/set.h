/* Included once for each instruction set: SET is its name, LANES how many floats it takes at once,
   TARGET the attribute that lets a function use it. */

typedef float NAME(floats) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t NAME(words) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define vec NAME(floats)
#define VEC(address) (*(vec *)(address))
#define INLINE static inline __attribute__((always_inline))

#include "curve.h"
#include "look.h"
#include "tile.h"

#undef vec
#undef VEC
#undef INLINE
#undef SET
#undef LANES
#undef TARGET
