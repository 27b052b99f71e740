/* A look: CSRNet's three layers for one photo, GFM folded in. See set.h. */

#define BLOCK (BLOCK_VECS * LANES) /* pixels that go through the layers at once */

/* Sums of some outputs of a layer, for a block: out[o][p] = offset[o] + sum of in[i][p] * weights[i][o].

   Where they are features, what is below 0 becomes 0, what is no number stays so. */
TARGET INLINE void NAME(outputs)(const float *in, int inputs, const float *weights,
                                 const float *offset, int outs, int features, float *out) {
    vec sum[OUTPUTS * BLOCK_VECS];
#pragma GCC unroll 4
    for (int o = 0; o < outs; o++)
#pragma GCC unroll 4
        for (int v = 0; v < BLOCK_VECS; v++) sum[o * BLOCK_VECS + v] = (vec){0} + offset[o];
    for (int i = 0; i < inputs; i++, in += BLOCK, weights += outs) {
        vec x[BLOCK_VECS];
#pragma GCC unroll 4
        for (int v = 0; v < BLOCK_VECS; v++) x[v] = VEC(in + v * LANES);
#pragma GCC unroll 4
        for (int o = 0; o < outs; o++)
#pragma GCC unroll 4
            for (int v = 0; v < BLOCK_VECS; v++) sum[o * BLOCK_VECS + v] += x[v] * weights[o];
    }
#pragma GCC unroll 4
    for (int o = 0; o < outs; o++)
#pragma GCC unroll 4
        for (int v = 0; v < BLOCK_VECS; v++) {
            vec value = sum[o * BLOCK_VECS + v];
            if (features) value = (vec)((NAME(words))value & ~(NAME(words))(value < 0));
            VEC(out + o * BLOCK + v * LANES) = value;
        }
}

/* A block's colours, (RGB, BLOCK), by the mix of looks: the same, in [0, 1] or not a number. */
TARGET static void NAME(mapped)(const struct look *looks, int styles, const float *colours,
                                float *mixed) {
    float first[WIDTH * BLOCK] __attribute__((aligned(64)));
    float second[WIDTH * BLOCK] __attribute__((aligned(64)));
    float third[RGB * BLOCK] __attribute__((aligned(64)));
    for (int s = 0; s < styles; s++) {
        const struct look *look = looks + s;
        for (int o = 0; o < WIDTH; o += OUTPUTS)
            NAME(outputs)(colours, RGB, look->first[o / OUTPUTS], look->offset1 + o, OUTPUTS, 1,
                          first + o * BLOCK);
        for (int o = 0; o < WIDTH; o += OUTPUTS)
            NAME(outputs)(first, WIDTH, look->second[o / OUTPUTS], look->offset2 + o, OUTPUTS, 1,
                          second + o * BLOCK);
        NAME(outputs)(second, WIDTH, look->third, look->offset3, RGB, 0, third);
        for (int i = 0; i < RGB * BLOCK; i++) {
            float value = third[i];
            value = value < 0 ? 0 : value;
            value = value > 1 ? 1 : value;
            mixed[i] = value * look->share + (s ? mixed[i] : 0);
        }
    }
}

/* Colours, (pixels, RGB) in [0, 1], by the mix of looks: the same, NaN where the networks have it. */
TARGET void NAME(abpn_colours)(const struct look *looks, int styles, const float *before,
                               float *after, long pixels) {
    float colours[RGB * BLOCK] __attribute__((aligned(64)));
    float mixed[RGB * BLOCK] __attribute__((aligned(64)));
    for (long start = 0; start < pixels; start += BLOCK) {
        int count = pixels - start < BLOCK ? (int)(pixels - start) : BLOCK;
        for (int i = 0; i < BLOCK; i++)
            for (int c = 0; c < RGB; c++)
                colours[c * BLOCK + i] = before[RGB * (start + (i < count ? i : 0)) + c];
        NAME(mapped)(looks, styles, colours, mixed);
        for (int i = 0; i < count; i++)
            for (int c = 0; c < RGB; c++) after[RGB * (start + i) + c] = mixed[c * BLOCK + i];
    }
}

/* Integers of 8 or 16 bits, (pixels, RGB), graded: value + edit * factor, rounded, half to even.

   factor: of each pixel, or one for all; where it is not above 0 the integers stay.
   Returns the number of pixels that change, or -1 where the networks return no numbers. */
TARGET INLINE long NAME(graded)(const struct look *looks, int styles, const void *before,
                                const float *factor, int each, void *after, long pixels, int bits) {
    const float whole = bits == 8 ? UINT8_MAX : UINT16_MAX, unit = 1 / whole;
    float seen[RGB * BLOCK] __attribute__((aligned(64)));
    float mixed[RGB * BLOCK] __attribute__((aligned(64)));
    float share[BLOCK];
    int32_t old[RGB * BLOCK], new[RGB * BLOCK];
    long changed = 0;
    int missing = 0;
    for (int i = 0; i < BLOCK; i++) share[i] = each ? 0 : *factor;
    for (long start = 0; start < pixels; start += BLOCK) {
        int count = pixels - start < BLOCK ? (int)(pixels - start) : BLOCK;
        for (int i = 0; i < BLOCK; i++)
            for (int c = 0; c < RGB; c++) {
                long at = RGB * (start + (i < count ? i : 0)) + c; /* others again: no new colours */
                old[c * BLOCK + i] = bits == 8 ? ((uint8_t *)before)[at] : ((uint16_t *)before)[at];
            }
        if (each)
            for (int i = 0; i < count; i++) share[i] = factor[start + i];
        for (int i = 0; i < RGB * BLOCK; i++) seen[i] = (float)old[i] * unit;
        NAME(mapped)(looks, styles, seen, mixed);
        for (int c = 0; c < RGB; c++)
            for (int i = 0; i < BLOCK; i++) {
                int at = c * BLOCK + i;
                float edit = mixed[at] - seen[at];
                missing |= edit != edit;
                float value = (seen[at] + edit * share[i]) * whole;
                value = value > 0 ? value : 0;
                value = value < whole ? value : whole;
                value += ROUNDING;
                memcpy(new + at, &value, sizeof value);
                new[at] = share[i] > 0 ? new[at] - ROUNDING_BITS : old[at];
            }
        for (int i = 0; i < count; i++)
            for (int c = 0; c < RGB; c++) {
                long at = RGB * (start + i) + c;
                if (bits == 8)
                    ((uint8_t *)after)[at] = (uint8_t)new[c * BLOCK + i];
                else
                    ((uint16_t *)after)[at] = (uint16_t)new[c * BLOCK + i];
            }
        for (int i = 0; i < count; i++)
            changed += ((new[i] ^ old[i]) | (new[BLOCK + i] ^ old[BLOCK + i]) |
                        (new[2 * BLOCK + i] ^ old[2 * BLOCK + i])) != 0;
    }
    return missing ? -1 : changed;
}

TARGET long NAME(abpn_grade8)(const struct look *looks, int styles, const uint8_t *before,
                              const float *factor, int each, uint8_t *after, long pixels) {
    return NAME(graded)(looks, styles, before, factor, each, after, pixels, 8);
}

TARGET long NAME(abpn_grade16)(const struct look *looks, int styles, const uint16_t *before,
                               const float *factor, int each, uint16_t *after, long pixels) {
    return NAME(graded)(looks, styles, before, factor, each, after, pixels, 16);
}

#undef BLOCK
