/* abpn's kernels for CPUs: a tile's blend layer refined and laid on the photo (tile.h), a look
   applied to colours (look.h), and the tone curves of colour spaces (curve.h).

   Built by the project's build hook (build_kernel.py) into a library that __init__.py loads. The
   same source makes one variant for each instruction set; which of them can run is asked of the
   processor at run time, so that one build runs on every machine of its kind. */

#include <float.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ABPN_VERSION 3 /* goes up with every change of what a function here takes or returns */

enum { RGB = 3, JOINED = 2 * RGB, FEATURES = 16, TAPS = 3, ROWS = 4, AT_ONCE = 4 };
enum { RUN = 64 }; /* pixels that are blended or rounded in one go */

#define ROUNDING 12582912.0f /* 1.5 * 2^23 */
#define ROUNDING_BITS 0x4b400000

/* One refining module, laid out by __init__.py. For a pair of rows, four sums stand in place of
   the six that a 3 x 3 kernel takes (Winograd's F(2, 3), down the columns): the kernels' rows
   are mixed there in the same way. */
struct module {
    float limit, leak;
    float bias1[FEATURES];
    float first[ROWS][FEATURES / AT_ONCE][JOINED * TAPS * AT_ONCE];
    float bias2[RGB];
    float second[ROWS][FEATURES * TAPS * RGB];
};

enum { WIDTH = 64, OUTPUTS = 4, BLOCK_VECS = 3 }; /* features of a look; sums held in registers */

/* One style's look, laid out by __init__.py: its layers for one photo, and its share of the mix. */
struct look {
    float share;
    float offset1[WIDTH];
    float first[WIDTH / OUTPUTS][RGB * OUTPUTS];
    float offset2[WIDTH];
    float second[WIDTH / OUTPUTS][WIDTH * OUTPUTS];
    float offset3[RGB];
    float third[WIDTH * RGB];
};

/* A tone curve of a value's size x, laid out by __init__.py: at least `least`,
   scale * (slope * x + start)^power + plus, and below the knee a line, at least 0. */
struct curve {
    float slope, start, power, scale, plus, least, line_slope, line_start, knee;
};

#define JOIN(name, set) name##_##set
#define NAMED(name, set) JOIN(name, set)
#define NAME(name) NAMED(name, SET)

#define SET generic
#define LANES 4
#define TARGET
#include "set.h"

#if defined(__x86_64__)

#define SET avx2
#define LANES 8
#define TARGET __attribute__((target("avx2,fma")))
#include "set.h"

#define SET avx512
#define LANES 16
#define TARGET __attribute__((target("avx512f,avx2,fma")))
#include "set.h"

#endif

int abpn_version(void) { return ABPN_VERSION; }

/* The variants that this processor runs, the fastest first: 16, 8 or 4 lanes, 0 after the last. */
int abpn_lanes(int which) {
    int found[4] = {0}, count = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        if (__builtin_cpu_supports("avx512f")) found[count++] = 16;
        found[count++] = 8;
    }
#endif
    found[count] = 4;
    return which < 0 || which > count ? 0 : found[which];
}
