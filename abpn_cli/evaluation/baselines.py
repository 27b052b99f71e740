"""Classical smoothing, for the rows beside the network: what a filter alone would gain.

Pure functions of an (H, W, 3) float32 RGB picture in [0, 1]. Lengths are those at 1024 px long side
and grow with the picture, so that a photo and its reduced copy are treated alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from ..training.synthesis import Floats, as_floats, luminance, masked_blur, scale_of

MEDIAN_RADIUS = 2.0  # px at 1024
BILATERAL_SIGMA = 2.5  # px at 1024
BILATERAL_RANGE = 0.15  # differences of the three channels added: creases stay below, edges do not
BILATERAL_REACH = 15  # px: a wider window takes minutes on a 24-megapixel photo
GUIDED_RADIUS = 4.0  # px at 1024
GUIDED_EPSILON = 0.03**2  # variance that counts as flat
BAND = (0.8, 12.0)  # px at 1024, sigma: finer is cloth, coarser is drape
BAND_SHARE = 0.5  # of the band that is taken away
LEAST_SIGMA = 0.6  # px: less is no blur at all
DARK = 0.04  # keeps ratios tame in black cloth

Filter = Callable[[Floats], Floats]


def median(image: Floats) -> Floats:
    """Median of a square window; steps of 1/255 are added to the picture, whatever its depth."""
    coarse = np.rint(image * 255).clip(0, 255).astype(np.uint8)
    side = 2 * max(1, round(MEDIAN_RADIUS * scale_of(image))) + 1
    change = cv2.medianBlur(coarse, side).astype(np.float32) - coarse
    return as_floats(image + change / 255).clip(0, 1)


def bilateral(image: Floats) -> Floats:
    """Bilateral filter (Tomasi and Manduchi, ICCV 1998)."""
    sigma = max(LEAST_SIGMA, BILATERAL_SIGMA * scale_of(image))
    reach = min(max(1, round(1.5 * sigma)), BILATERAL_REACH)
    return as_floats(cv2.bilateralFilter(image, 2 * reach + 1, BILATERAL_RANGE, sigma))


def guided(image: Floats) -> Floats:
    """Guided filter, each channel its own guide."""
    return guided_filter(
        image, image, max(1, round(GUIDED_RADIUS * scale_of(image))), GUIDED_EPSILON
    )


def guided_filter(guide: Floats, image: Floats, radius: int, epsilon: float) -> Floats:
    """Guided filter by box means (He, Sun and Tang, ECCV 2010).

    guide, image: (H, W) or (H, W, C), channel by channel; radius: in pixels; epsilon: variance of
    the guide under which a window is flattened.
    """

    def mean(field: Floats) -> Floats:
        side = (2 * radius + 1, 2 * radius + 1)
        return as_floats(cv2.blur(field, side, borderType=cv2.BORDER_REFLECT))

    mean_guide, mean_image = mean(guide), mean(image)
    variance = mean(guide * guide) - mean_guide * mean_guide
    covariance = mean(guide * image) - mean_guide * mean_image
    slope = as_floats(covariance / (variance + np.float32(epsilon)))
    return as_floats(mean(slope) * guide + mean(mean_image - slope * mean_guide))


def separation(image: Floats, mask: Floats) -> Floats:
    """Frequency separation inside a mask: half of the mid-band of the light is taken away.

    mask: (H, W) in [0, 1]; the blurs see nothing outside it, so that no light leaks over the edges
    of the cloth. The channels are scaled alike: hue stays.
    """
    scale = scale_of(image)
    light = luminance(image)
    fine, coarse = (masked_blur(light, mask, max(LEAST_SIGMA, sigma * scale)) for sigma in BAND)
    share = (BAND_SHARE * mask * (fine - coarse)) / (light + np.float32(DARK))
    return as_floats(image * (1 - share)[..., None]).clip(0, 1)


FILTERS: Mapping[str, Filter] = {"median": median, "bilateral": bilateral, "guided": guided}
