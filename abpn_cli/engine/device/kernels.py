# mypy: ignore-errors
# What Triton compiles has pointers and blocks where Python has numbers.
"""Triton kernels: halve a level; refine a level, and at full size blend and round, in one pass.

Two 3 × 3 convolutions want neighbours, and a Triton program cannot shift what it holds. So six
pixels of a row and their neighbours are one row of a matrix, and a convolution's row of taps is a
banded matrix (`fused.py` lays them out): ten pixels of [u, H] times a band make eight pixels of 16
features, and these times a band six pixels of RGB. The tensor cores multiply the zeros of the bands
too, and are still far ahead of vector units; a program walks down its tile with two rows of either
in registers, so that neither [u, H] nor the 16 channels ever lie in memory.

Only imported where Triton is there, and only by `fused.py`.
"""

from __future__ import annotations

import triton
import triton.language as tl

RUN = tl.constexpr(6)  # px of a row that a block makes
HALO = tl.constexpr(2)  # px on either side that two convolutions see
SEEN = tl.constexpr(32)  # values of u, and of H: 10 px × 3, and two idle
FELT = tl.constexpr(128)  # features: 8 px × 16
MADE = tl.constexpr(32)  # values made: 6 px × (RGB and one idle), and eight idle
CHANNELS = tl.constexpr(16)
RGB = tl.constexpr(3)
WEIGHTS = tl.constexpr((1.0, 4.0, 6.0, 4.0, 1.0))  # of 16
LEAK = tl.constexpr(0.2)
LIMIT = tl.constexpr(10.0)
TO_WHOLE = tl.constexpr(12582912.0)  # 1.5 · 2^23: added and taken away, rounds half to even


@triton.jit
def _reflected(position, size):
    """Where a position lies in a line of `size`, reflect-101; at most 2 outside of it."""
    position = tl.where(position < 0, -position, position)
    position = tl.where(position >= size, 2 * (size - 1) - position, position)
    return tl.maximum(position, 0)


@triton.jit
def _values(pointer, where, mask, scale, WORDS: tl.constexpr):
    """Load values as float32 of [0, 1]; WORDS: they are 16-bit integers, held as signed ones."""
    loaded = tl.load(pointer + where, mask=mask, other=0)
    if WORDS:
        loaded = loaded.to(tl.int32) & 0xFFFF
    return loaded.to(tl.float32) * scale


# A kernel is compiled for each kind of number that it takes for special, as multiples of 16: of
# sizes and rows none is, or every photo would wait for its own.
_SIZES_OF_HALVE = ("scale", "fine_top", "fine_height", "fine_width", "coarse_top", "first", "last")
_SIZES_OF_REFINE = (
    "strength", "scale", "most",
    "base_top", "base_rows", "coarse_top", "coarse_rows", "layer_top", "layer_rows", "target_top",
    "last", "height", "width", "grid_height", "grid_width", "cell", "photo_height", "photo_width",
)  # fmt: skip


@triton.jit(do_not_specialize=_SIZES_OF_HALVE)
def halve_kernel(
    fine, coarse, scale, fine_top, fine_height, fine_width, coarse_top, first, last,
    WORDS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Rows first..last-1 of down(fine): [1, 4, 6, 4, 1]/16 both ways, even rows and columns.

    fine, coarse: (h, w, 3), their first row being row fine_top, coarse_top of its level.
    """
    coarse_width = fine_width // 2
    row = first + tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    lane = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    column, channel = lane // RGB, lane % RGB
    wanted = (row < last)[:, None] & (column < coarse_width)[None, :]
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for down in tl.static_range(5):
        y = _reflected(2 * row + (down - 2), fine_height) - fine_top
        across = tl.zeros((ROWS, COLUMNS), tl.float32)
        for right in tl.static_range(5):
            x = _reflected(2 * column + (right - 2), fine_width)
            where = (y * fine_width)[:, None] * RGB + (x * RGB + channel)[None, :]
            across += WEIGHTS[right] * _values(fine, where, wanted, scale, WORDS)
        total += WEIGHTS[down] * across
    target = ((row - coarse_top) * coarse_width)[:, None] * RGB + lane[None, :]
    tl.store(coarse + target, total * (1.0 / 256), mask=wanted)


@triton.jit
def _smooth_row(image, row, rows, width, x, channel):
    """One row of a coarse (rows, w, 3), enlarged to fine columns x as `up` does.

    A row outside is the nearest: at the level's bottom `up` repeats it, and elsewhere nothing that
    is kept hangs on it.
    """
    column = tl.minimum(tl.maximum(x >> 1, 0), width - 1)
    left = tl.where(column == 0, tl.minimum(1, width - 1), column - 1)
    right = tl.minimum(column + 1, width - 1)
    start = image + tl.minimum(tl.maximum(row, 0), rows - 1) * width * RGB + channel
    here = tl.load(start + column * RGB)
    after = tl.load(start + right * RGB)
    before = tl.load(start + left * RGB)
    return tl.where(x % 2 == 0, (before + 6 * here + after) * 0.125, (here + after) * 0.5)


@triton.jit
def _soft_row(image, row, rows, width, x, channel):
    """As `_smooth_row`, as `upsample` does: bilinear, edges replicated."""
    column = tl.minimum(tl.maximum(x >> 1, 0), width - 1)
    other = tl.where(x % 2 == 0, tl.maximum(column - 1, 0), tl.minimum(column + 1, width - 1))
    start = image + tl.minimum(tl.maximum(row, 0), rows - 1) * width * RGB + channel
    return 0.75 * tl.load(start + column * RGB) + 0.25 * tl.load(start + other * RGB)


@triton.jit
def _soft(image, y, top, rows, width, x, channel):
    """`upsample` at fine row y and columns x."""
    near = (y >> 1) - top
    far = tl.where(y % 2 == 0, near - 1, near + 1)
    ahead = _soft_row(image, near, rows, width, x, channel)
    return 0.75 * ahead + 0.25 * _soft_row(image, far, rows, width, x, channel)


@triton.jit
def _bands(pointer, INPUTS: tl.constexpr, OUTPUTS: tl.constexpr):
    """A band's three rows of taps, each (INPUTS, OUTPUTS): for the row below, beside, above."""
    places = tl.arange(0, INPUTS)[:, None] * OUTPUTS + tl.arange(0, OUTPUTS)[None, :]
    row0 = tl.load(pointer + places)
    row1 = tl.load(pointer + INPUTS * OUTPUTS + places)
    row2 = tl.load(pointer + 2 * INPUTS * OUTPUTS + places)
    return row0, row1, row2


@triton.jit
def _bias(pointer, OUTPUTS: tl.constexpr):
    """A convolution's bias, of each value of a block: (1, OUTPUTS)."""
    return tl.load(pointer + tl.arange(0, OUTPUTS))[None, :]


@triton.jit
def _seen_columns(corner, width):
    """Columns and channels that blocks see from their corners on, and which of them are there."""
    seen = tl.arange(0, SEEN)[None, :]
    x = corner - HALO + seen // RGB
    inside = (x >= 0) & (x < width) & (seen < (RUN + 2 * HALO) * RGB)
    return x, seen % RGB, inside


@triton.jit
def _felt_columns(corner, width):
    """Which of the features of blocks lie on the level."""
    x = corner - 1 + tl.arange(0, FELT)[None, :] // CHANNELS
    return (x >= 0) & (x < width)


@triton.jit
def _made_columns(corner, width, end):
    """Columns and channels that blocks make, and which of them are kept: those before `end`."""
    made = tl.arange(0, MADE)[None, :]
    x = corner + made // 4
    inside = (x < end) & (made < RUN * 4) & (made % 4 < RGB)
    return tl.minimum(x, width - 1), tl.minimum(made % 4, RGB - 1), inside


@triton.jit
def _row_above(above, row, x, channel):
    """One row of I_{i+1} and one of B_{i+1}, each enlarged to fine columns x in its own way."""
    coarse, coarse_top, coarse_rows, layer, layer_top, layer_rows, width = above
    smooth = _smooth_row(coarse, row - coarse_top, coarse_rows, width, x, channel)
    soft = _soft_row(layer, row - layer_top, layer_rows, width, x, channel)
    return smooth, soft


@triton.jit
def _enlarged(above, y, rows, columns):
    """`up` of I_{i+1} and `upsample` of B_{i+1} at fine row y; then the coarse rows to go on with.

    rows: two of I_{i+1}, two of B_{i+1}: those up to the coarse row of y; a step down as y is even.
    """
    smooth1, smooth2, soft1, soft2 = rows
    if y % 2 == 0:
        x, channel, _ = columns
        smooth0, soft0 = smooth1, soft1
        smooth1, soft1 = smooth2, soft2
        smooth2, soft2 = _row_above(above, y // 2 + 1, x, channel)
        smooth0 = tl.where(y // 2 == 0, smooth2, smooth0)  # reflected; at the end repeated
        smooth = (smooth0 + 6 * smooth1 + smooth2) * 0.125
        soft = 0.75 * soft1 + 0.25 * soft0
    else:
        smooth = (smooth1 + smooth2) * 0.5
        soft = 0.75 * soft1 + 0.25 * soft2
    return smooth, soft, (smooth1, smooth2, soft1, soft2)


@triton.jit
def _inputs(level, y, columns, smooth, soft, WORDS: tl.constexpr):
    """Row y of u and of H, zero around the level; smooth, soft: as `_enlarged` gives them."""
    base, base_top, base_rows, height, width, scale = level
    x, channel, there = columns
    # Rows that are not held are looked at for tiles that reach over the target's end.
    inside = there & (y >= base_top) & (y < tl.minimum(base_top + base_rows, height))
    at = ((y - base_top) * width + x) * RGB + channel
    value = _values(base, at, inside, scale, WORDS)
    return tl.where(inside, soft, 0.0), tl.where(inside, value - smooth, 0.0)


@triton.jit
def _phi1(u0, u1, u2, h0, h1, h2, weights, EXACT: tl.constexpr):
    """lrelu(φ1([u, H])) of three rows, blocks times bands; weights: the bands and the bias."""
    u_bands, h_bands, bias = weights
    felt = tl.dot(u0, u_bands[0], input_precision=EXACT)
    felt = tl.dot(h0, h_bands[0], felt, input_precision=EXACT)
    felt = tl.dot(u1, u_bands[1], felt, input_precision=EXACT)
    felt = tl.dot(h1, h_bands[1], felt, input_precision=EXACT)
    felt = tl.dot(u2, u_bands[2], felt, input_precision=EXACT)
    felt = tl.dot(h2, h_bands[2], felt, input_precision=EXACT) + bias
    return tl.where(felt > 0, felt, LEAK * felt)


@triton.jit
def _start(above, top, columns, kind: tl.constexpr):
    """What a tile's walk begins with: coarse rows above its first row, and else nothing."""
    x, channel, _ = columns
    row = (top >> 1) - 1
    smooth1, soft1 = _row_above(above, row - 1, x, channel)
    smooth2, soft2 = _row_above(above, row, x, channel)
    # In tuples: two names of a loop that begin as one value are, to Triton, one that never changes.
    empty = tl.zeros(x.shape, kind)
    unmade = tl.zeros((x.shape[0], MADE), tl.float32)
    return (smooth1, smooth2, soft1, soft2), (empty, empty, empty, empty), (unmade, unmade)


@triton.jit
def _advanced(
    rows, level, above, y, columns, first, bands, WORDS: tl.constexpr, EXACT: tl.constexpr
):
    """Take in row y of the level: φ2(lrelu(φ1([u, H]))) of row y - 2, and the rows to go on with.

    Rows held: the coarse ones, [u, H] of the last two, and what is made of the last two so far.
    """
    coarse_rows, inputs, unfinished = rows
    u0, u1, h0, h1 = inputs
    made_before, made_now = unfinished
    seen, felt_inside = columns
    height = level[3]
    smooth, soft, coarse_rows = _enlarged(above, y, coarse_rows, seen)
    u2, h2 = _inputs(level, y, seen, smooth, soft, WORDS)
    u2, h2 = u2.to(u0.dtype), h2.to(h0.dtype)
    features = _phi1(u0, u1, u2, h0, h1, h2, first, EXACT)
    held = felt_inside & (y - 1 >= 0) & (y - 1 < height)  # φ2 sees zeros around the level
    features = tl.where(held, features, 0.0).to(u0.dtype)
    # Features of row y - 1 finish what is made of row y - 2, and begin that of row y.
    correction = tl.dot(features, bands[2], made_before, input_precision=EXACT)
    made_before = tl.dot(features, bands[1], made_now, input_precision=EXACT)
    made_now = tl.dot(features, bands[0], input_precision=EXACT)
    return correction, (coarse_rows, (u1, u2, h1, h2), (made_before, made_now))


@triton.jit
def _landed(target, old, layer, factor, terms, scale, most, inside, FLOATS: tl.constexpr):
    """Blend a row and store it where it is kept; of each block, how many pixels changed.

    old: values as they are stored; layer: B_0 times the factor.
    """
    landed = _blended(old * scale, layer, terms)
    changed = tl.zeros((old.shape[0],), tl.float32)
    if FLOATS:
        tl.store(target, landed, mask=inside)
    else:
        new = tl.where(factor > 0, (landed * most + TO_WHOLE) - TO_WHOLE, old)
        tl.store(target, new.to(tl.int32).to(target.dtype.element_ty), mask=inside)
        differs = tl.where(inside & (new != old), 1.0, 0.0)
        differs = tl.max(tl.reshape(differs, (old.shape[0], MADE // 4, 4)), axis=2)
        changed = tl.sum(differs, axis=1)
    return changed


@triton.jit
def _largest(correction, layer, inside):
    """The largest |B_0| of what is kept; infinite where the correction is no number."""
    size = tl.where(tl.abs(correction) < float("inf"), tl.abs(layer), float("inf"))
    return tl.max(tl.where(inside, size, 0.0))


@triton.jit(do_not_specialize=_SIZES_OF_REFINE)
def refine_kernel(
    base, coarse, layer, target, tiles, tallies,
    first_u, first_h, first_bias, second, second_bias,
    grid, user, terms, strength, scale, most,
    base_top, base_rows, coarse_top, coarse_rows, layer_top, layer_rows, target_top, last,
    height, width, grid_height, grid_width, cell, photo_height, photo_width,
    WORDS: tl.constexpr, BLOCKS: tl.constexpr, ROWS: tl.constexpr, EXACT: tl.constexpr,
    LANDS: tl.constexpr, USER: tl.constexpr, FLOATS: tl.constexpr,
):  # fmt: skip
    """B_i of one tile per program: ROWS × 6·BLOCKS px from the corner that `tiles` has for it.

    base: I_i, coarse: I_{i+1}, layer: B_{i+1}, target: B_i, each (rows, w, 3) from row *_top of its
    level on; height, width: of level i; last: the row at which the target ends.

    LANDS: level 0, as far as the photo itself goes: the target takes R_0 in place of B_0, which is
    multiplied by the factor, blended, clamped and rounded to integers; where the factor is 0, those
    before. FLOATS: not rounded.
    user: what the user's masks leave of the factor, (rows, w) as the target; terms: j, then k.
    tallies: (programs, 2) float32: pixels changed, max |B_0|; infinite where B_0 is no number.
    """
    program = tl.program_id(0)
    top, left = tl.load(tiles + 2 * program), tl.load(tiles + 2 * program + 1)
    end, keep = tl.minimum(top + ROWS, last), width
    if LANDS:
        end, keep = tl.minimum(end, photo_height), tl.minimum(width, photo_width)
    corner = left + RUN * tl.arange(0, BLOCKS)[:, None]
    columns = _seen_columns(corner, width), _felt_columns(corner, width)
    made_x, channel, inside = _made_columns(corner, width, keep)
    level = base, base_top, base_rows, height, width, scale
    above = coarse, coarse_top, coarse_rows, layer, layer_top, layer_rows, width // 2
    first = _bands(first_u, SEEN, FELT), _bands(first_h, SEEN, FELT), _bias(first_bias, FELT)
    bands = _bands(second, FELT, MADE)
    kind: tl.constexpr = first_u.dtype.element_ty
    rows = _start(above, top, columns[0], kind)
    changed, largest = tl.zeros((BLOCKS,), tl.float32), 0.0
    for step in range(ROWS + 2 * HALO):
        y = top - 2 * HALO + step  # two rows of [u, H], and two of features, come before it is kept
        correction, rows = _advanced(rows, level, above, y + 2, columns, first, bands, WORDS, EXACT)
        if (y >= top) & (y < end):
            u = _soft(layer, y, layer_top, layer_rows, width // 2, made_x, channel)
            correction += _bias(second_bias, MADE)
            made = tl.minimum(tl.maximum(correction + u, -LIMIT), LIMIT)
            to = target + ((y - target_top) * width + made_x) * RGB + channel
            if LANDS:
                factor = strength * _gate(grid, y, made_x, cell, grid_height, grid_width)
                if USER:
                    factor *= tl.load(user + (y - target_top) * width + made_x)
                made *= factor
                largest = tl.maximum(largest, _largest(correction, made, inside))
                at = ((y - base_top) * width + made_x) * RGB + channel
                old = _values(base, at, inside, 1.0, WORDS)
                changed += _landed(to, old, made, factor, terms, scale, most, inside, FLOATS)
            else:
                tl.store(to, made, mask=inside)
    if LANDS:
        tl.store(tallies + 2 * program, tl.sum(changed))
        tl.store(tallies + 2 * program + 1, largest)


@triton.jit
def _gate(grid, y, x, cell, height, width):
    """The gate at one row and columns x: bilinear, half-pixel centres, edges replicated."""
    above, row_share = _between(y, cell)
    left, share = _between(x, cell)
    first = grid + tl.minimum(tl.maximum(above, 0), height - 1) * width
    second = grid + tl.minimum(tl.maximum(above + 1, 0), height - 1) * width
    near = tl.minimum(tl.maximum(left, 0), width - 1)
    far = tl.minimum(tl.maximum(left + 1, 0), width - 1)
    one = tl.load(first + near) * (1 - share) + tl.load(first + far) * share
    other = tl.load(second + near) * (1 - share) + tl.load(second + far) * share
    return one * (1 - row_share) + other * row_share


@triton.jit
def _between(position, cell):
    """The cell before a pixel's centre, and the share of the one after it."""
    doubled = 2 * position + 1 - cell + 2 * cell  # one cell on, so that nothing is negative
    before = doubled // (2 * cell)
    share = (doubled - before * 2 * cell).to(tl.float32) / (2 * cell)
    return before - 1, share


@triton.jit
def _blended(base, layer, terms):
    """R = B·Σ j_i·x^i + Σ k_i·x^i, clamped to [0, 1]; terms: j, then k."""
    gain = (tl.load(terms + 2) * base + tl.load(terms + 1)) * base + tl.load(terms)
    offset = (tl.load(terms + 5) * base + tl.load(terms + 4)) * base + tl.load(terms + 3)
    return tl.minimum(tl.maximum(layer * gain + offset, 0.0), 1.0)
