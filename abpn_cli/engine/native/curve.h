/* A tone curve with a power in it, one way or the other. See set.h. */

#define words NAME(words)

/* `yes` where a comparison holds, which gives -1, and `no` where it gives 0. */
TARGET INLINE vec NAME(either)(words where, vec yes, vec no) {
    return (vec)((where & (words)yes) | (~where & (words)no));
}

/* base^power by log2 and 2^x, for normal numbers above 0: off by 2e-7 of a result near 1. */
TARGET INLINE vec NAME(raised)(vec base, float power) {
    const vec zero = {0};
    words bits = (words)base, fraction = bits & 0x7fffff;
    words high = fraction >= 0x3504f3; /* the root of 2 and above */
    words exponent = (bits >> 23) - 127 - high;
    vec m = (vec)(fraction | ((127 + high) << 23)); /* from the root of 1/2 to that of 2 */
    vec t = (m - 1) / (m + 1), square = t * t;
    vec series = square * (1 / 3.0f + square * (1 / 5.0f + square * (1 / 7.0f + square / 9.0f)));
    vec log = __builtin_convertvector(exponent, vec) + (t + t * series) * 2.88539008f; /* 2 / ln 2 */
    vec x = log * power;
    x = NAME(either)(x > 127, zero + 127, x);
    vec rounded = x + ROUNDING, rest = (x - (rounded - ROUNDING)) * 0.693147181f; /* ln 2 */
    vec part = 1 / 720.0f + rest / 5040.0f;
    part = 1 + rest * (1 + rest * (1 / 2.0f + rest * (1 / 6.0f + rest * (1 / 24.0f
             + rest * (1 / 120.0f + rest * part)))));
    vec scale = (vec)(((words)rounded - ROUNDING_BITS + 127) << 23);
    return NAME(either)(x < -126, zero, part * scale);
}

/* A value through a curve: its size is bent, its sign stays. */
TARGET INLINE vec NAME(bent)(const struct curve *curve, vec value) {
    const vec zero = {0};
    words sign = (words)value & INT32_MIN;
    vec size = (vec)((words)value & INT32_MAX);
    vec base = size * curve->slope + curve->start;
    vec bent = NAME(either)(base < FLT_MIN, zero, NAME(raised)(base, curve->power));
    bent = bent * curve->scale + curve->plus;
    bent = NAME(either)(bent < curve->least, zero + curve->least, bent);
    vec line = size * curve->line_slope + curve->line_start;
    bent = NAME(either)(size < curve->knee, NAME(either)(line < 0, zero, line), bent);
    bent = NAME(either)(size <= FLT_MAX, bent, size); /* no number, or none that ends, stays so */
    return (vec)((words)bent | sign);
}

/* Values, any number of them, through a curve; `after` may be `before`. */
TARGET void NAME(abpn_curve)(const struct curve *curve, const float *before, float *after,
                             long count) {
    long at = 0;
    for (; at + LANES <= count; at += LANES) VEC(after + at) = NAME(bent)(curve, VEC(before + at));
    if (at < count) {
        float rest[LANES] = {0};
        memcpy(rest, before + at, sizeof(float) * (size_t)(count - at));
        VEC(rest) = NAME(bent)(curve, VEC(rest));
        memcpy(after + at, rest, sizeof(float) * (size_t)(count - at));
    }
}

#undef words
