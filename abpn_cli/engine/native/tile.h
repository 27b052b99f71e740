/* A tile of a photo: its blend layer refined, laid on the photo, rounded to integers. See set.h. */

#define FIRST 2  /* vectors of features at once, of AT_ONCE channels: their sums fit in registers */
#define SECOND 3 /* vectors of corrections at once, of RGB */
#define SPARE (4 * LANES) /* columns that may be computed beyond the last */

/* Sums of a row: out[o][x] = sum over c, k of in[c][x + k] * weights[c][k][o], `vecs` vectors. */
TARGET INLINE void NAME(sums)(const float *in, long stride, int channels, const float *weights,
                              int outs, int vecs, float *out, long out_stride) {
    vec sum[AT_ONCE * FIRST > RGB * SECOND ? AT_ONCE * FIRST : RGB * SECOND];
    for (int i = 0; i < outs * vecs; i++) sum[i] = (vec){0};
    for (int c = 0; c < channels; c++, in += stride)
        for (int k = 0; k < TAPS; k++, weights += outs) {
            vec x[FIRST > SECOND ? FIRST : SECOND];
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++) x[v] = VEC(in + k + v * LANES);
#pragma GCC unroll 4
            for (int o = 0; o < outs; o++)
#pragma GCC unroll 4
                for (int v = 0; v < vecs; v++) sum[o * vecs + v] += x[v] * weights[o];
        }
#pragma GCC unroll 4
    for (int o = 0; o < outs; o++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) VEC(out + o * out_stride + v * LANES) = sum[o * vecs + v];
}

TARGET INLINE vec NAME(leaky)(vec x, float leak) {
    vec less = x * leak;
    NAME(words) positive = x > 0;
    return (vec)(((NAME(words))x & positive) | ((NAME(words))less & ~positive));
}

/* Mix four rows d, `planes` each, as F(2, 3) wants them. */
TARGET INLINE void NAME(mix)(vec d0, vec d1, vec d2, vec d3, float *out, long row) {
    VEC(out) = d0 - d2;
    VEC(out + row) = d1 + d2;
    VEC(out + 2 * row) = d2 - d1;
    VEC(out + 3 * row) = d1 - d3;
}

/* Features of two rows; `in`, mixed, begins a column to the left of them.

   last: features of the two rows above, replaced by those of these; mixed: all four, mixed.
   there: whether each row lies in the image; features beside it are 0. */
TARGET static void NAME(features)(const struct module *module, const float *in, float *last,
                                  float *mixed, long stride, int width, const int there[2]) {
    for (int x = 0; x < width; x += FIRST * LANES)
        for (int group = 0; group < FEATURES / AT_ONCE; group++) {
            float m[ROWS][AT_ONCE][FIRST * LANES] __attribute__((aligned(64)));
            for (int i = 0; i < ROWS; i++)
                NAME(sums)(in + i * JOINED * stride + x, stride, JOINED, module->first[i][group],
                           AT_ONCE, FIRST, m[i][0], FIRST * LANES);
            for (int o = 0; o < AT_ONCE; o++)
                for (int v = 0; v < FIRST * LANES; v += LANES) {
                    int channel = group * AT_ONCE + o;
                    long at = channel * stride + 1 + x + v;
                    vec m0 = VEC(m[0][o] + v), m1 = VEC(m[1][o] + v), m2 = VEC(m[2][o] + v),
                        m3 = VEC(m[3][o] + v), above0 = VEC(last + at),
                        above1 = VEC(last + FEATURES * stride + at), row0 = {0}, row1 = {0};
                    if (there[0]) row0 = NAME(leaky)(m0 + m1 + m2 + module->bias1[channel], module->leak);
                    if (there[1]) row1 = NAME(leaky)(m1 - m2 - m3 + module->bias1[channel], module->leak);
                    NAME(mix)(above0, above1, row0, row1, mixed + at, FEATURES * stride);
                    VEC(last + at) = row0;
                    VEC(last + FEATURES * stride + at) = row1;
                }
        }
    for (int plane = 0; plane < ROWS * FEATURES; plane++) mixed[plane * stride + 1 + width] = 0;
}

/* A row of u and H as six planes, or of zeros above and below the image. */
TARGET static void NAME(load)(const float *layer, const float *high, float *planes, long stride,
                              int width, int there) {
    if (!there) {
        memset(planes, 0, JOINED * stride * sizeof *planes);
        return;
    }
    for (int x = 0; x < width; x++)
        for (int c = 0; c < RGB; c++) {
            planes[c * stride + 1 + x] = layer[RGB * x + c];
            planes[(RGB + c) * stride + 1 + x] = high[RGB * x + c];
        }
}

/* A row of B: corrections added to u, clamped; NaN stays NaN. `m` holds the four sums. */
TARGET static void NAME(store)(const struct module *module, const float *m, int second,
                               const float *layer, float *out, long stride, int width) {
    for (int c = 0; c < RGB; c++) {
        const float *m0 = m + c * stride, *m1 = m0 + RGB * stride, *m2 = m1 + RGB * stride,
                    *m3 = m2 + RGB * stride;
        float bias = module->bias2[c], limit = module->limit;
        for (int x = 0; x < width; x++) {
            float correction = second ? m1[x] - m2[x] - m3[x] : m0[x] + m1[x] + m2[x];
            float value = correction + bias + layer[RGB * x + c];
            value = value > limit ? limit : value;
            out[RGB * x + c] = value < -limit ? -limit : value;
        }
    }
}

/* B = clamp(phi2(leaky(phi1([u, H]))) + u) of (height, width, 3), zeros around u and H.

   Returns 0, or 1 where there is no memory. */
TARGET int NAME(abpn_refine)(const struct module *module, const float *layer, const float *high,
                             float *out, int height, int width) {
    long stride = (width + 2 + SPARE + 15) / 16 * 16, row = JOINED * stride;
    const int planes = 2 * ROWS * JOINED + 2 * FEATURES + ROWS * FEATURES + ROWS * RGB;
    float *rows = calloc((size_t)stride * planes, sizeof *rows);
    if (!rows) return 1;
    float *in = rows + ROWS * row, *last = in + ROWS * row, *mixed = last + 2 * FEATURES * stride,
          *m = mixed + ROWS * FEATURES * stride;
    /* Features of rows y and y + 1 let the corrections of rows y - 1 and y be made. */
    for (int y = -1; y <= height; y += 2) {
        for (int line = y < 0 ? y - 1 : y + 1; line <= y + 2; line++)
            NAME(load)(layer + (long)line * width * RGB, high + (long)line * width * RGB,
                       rows + (line & 3) * row, stride, width, line >= 0 && line < height);
        const float *d0 = rows + ((y - 1) & 3) * row, *d1 = rows + (y & 3) * row,
                    *d2 = rows + ((y + 1) & 3) * row, *d3 = rows + ((y + 2) & 3) * row;
        for (long x = 0; x < row; x += LANES)
            NAME(mix)(VEC(d0 + x), VEC(d1 + x), VEC(d2 + x), VEC(d3 + x), in + x, row);
        int there[2] = {y >= 0 && y < height, y + 1 < height};
        NAME(features)(module, in, last, mixed, stride, width, there);
        if (y < 0) continue;
        for (int x = 0; x < width; x += SECOND * LANES)
            for (int i = 0; i < ROWS; i++)
                NAME(sums)(mixed + i * FEATURES * stride + x, stride, FEATURES, module->second[i],
                           RGB, SECOND, m + i * RGB * stride + x, stride);
        for (int line = y - 1; line <= y && line < height; line++)
            NAME(store)(module, m, line == y, layer + (long)line * width * RGB,
                        out + (long)line * width * RGB, stride, width);
    }
    free(rows);
    return 0;
}

/* One number of each pixel for its three channels. */
TARGET INLINE void NAME(spread)(const float *plane, int count, float *out) {
    for (int i = 0; i < count; i++) out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = plane[i];
}

/* The largest of |value| as bits: infinities and NaN are above all numbers. */
TARGET INLINE int32_t NAME(largest)(const float *value, int count, int32_t most) {
    for (int i = 0; i < count; i++) {
        int32_t bits;
        memcpy(&bits, value + i, sizeof bits);
        bits &= INT32_MAX;
        most = bits > most ? bits : most;
    }
    return most;
}

/* A blend layer times its factor, laid on a base: eq. (3), not clamped.

   terms: j, k; base, layer: (height, width, 3), rows so many floats apart; factor: (height, width);
   out: (height, width, 3). Returns the largest |layer * factor|, NaN or infinity where any is. */
TARGET float NAME(abpn_blend)(const float *terms, const float *base, long base_row,
                              const float *layer, long layer_row, const float *factor, float *out,
                              int height, int width) {
    const float *j = terms, *k = terms + 3;
    int32_t most = 0;
    for (int y = 0; y < height; y++, base += base_row, layer += layer_row)
        for (int x = 0; x < width; x += RUN) {
            int count = width - x < RUN ? width - x : RUN;
            float scaled[RGB * RUN];
            NAME(spread)(factor, count, scaled);
            for (int i = 0; i < RGB * count; i++) {
                float value = base[RGB * x + i];
                scaled[i] *= layer[RGB * x + i];
                out[i] = (k[2] * value + k[1]) * value + k[0] +
                         scaled[i] * ((j[2] * value + j[1]) * value + j[0]);
            }
            most = NAME(largest)(scaled, RGB * count, most);
            factor += count;
            out += RGB * count;
        }
    float largest;
    memcpy(&largest, &most, sizeof largest);
    return largest;
}

/* Values rounded to integers of 8 or 16 bits where the factor is above 0, `before` elsewhere.

   image, before, after: (height, width, 3), clamped to [0, 1] here; factor: (height, width).
   Returns the number of pixels that change. */
TARGET INLINE long NAME(lay)(const float *image, const void *before, const float *factor,
                             void *after, long pixels, int bits) {
    float whole = bits == 8 ? UINT8_MAX : UINT16_MAX;
    long changed = 0;
    for (long start = 0; start < RGB * pixels; start += RGB * RUN) {
        int count = pixels - start / RGB < RUN ? (int)(pixels - start / RGB) : RUN;
        float open[RGB * RUN];
        int32_t old[RGB * RUN], new[RGB * RUN];
        NAME(spread)(factor + start / RGB, count, open);
        for (int i = 0; i < RGB * count; i++)
            old[i] = bits == 8 ? ((uint8_t *)before)[start + i] : ((uint16_t *)before)[start + i];
        for (int i = 0; i < RGB * count; i++) {
            float value = image[start + i] * whole;
            value = value > 0 ? value : 0;
            value = value < whole ? value : whole;
            value += ROUNDING; /* its last digit is now that of integers: rounded, half to even */
            memcpy(new + i, &value, sizeof value);
            new[i] = open[i] > 0 ? new[i] - ROUNDING_BITS : old[i];
        }
        for (int i = 0; i < RGB * count; i++)
            if (bits == 8)
                ((uint8_t *)after)[start + i] = (uint8_t)new[i];
            else
                ((uint16_t *)after)[start + i] = (uint16_t)new[i];
        for (int i = 0; i < count; i++)
            changed += ((new[3 * i] ^ old[3 * i]) | (new[3 * i + 1] ^ old[3 * i + 1]) |
                        (new[3 * i + 2] ^ old[3 * i + 2])) != 0;
    }
    return changed;
}

TARGET long NAME(abpn_lay8)(const float *image, const uint8_t *before, const float *factor,
                            uint8_t *after, long pixels) {
    return NAME(lay)(image, before, factor, after, pixels, 8);
}

TARGET long NAME(abpn_lay16)(const float *image, const uint16_t *before, const float *factor,
                             uint16_t *after, long pixels) {
    return NAME(lay)(image, before, factor, after, pixels, 16);
}

#undef FIRST
#undef SECOND
#undef SPARE
