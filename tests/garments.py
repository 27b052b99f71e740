"""Made-up garments to train on."""

import cv2
import numpy as np

from abpn_cli.training.creases import ridged_noise


def cloth_photo(seed, size=(200, 260)):
    """A made-up garment: coloured, shaded, creased, textured."""
    rng = np.random.default_rng(seed)
    shade = 1 + 0.05 * ridged_noise(size, rng)
    image = shade[..., None] * rng.uniform(0.25, 0.75, 3) + 0.004 * rng.standard_normal((*size, 3))
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


def write_pairs(folder, count=3, size=(132, 140)):
    """Pairs before/0.png, after/0.png and so on: lighter after than before."""
    for index in range(count):
        image = cloth_photo(index, size)
        lighter = np.clip(image * 1.1, 0, 255).astype(np.uint8)
        for part, pixels in (("before", image), ("after", lighter)):
            (folder / part).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / part / f"{index}.png"), pixels)


def write_garments(folder):
    """Four garments c0.png .. c3.png, and masks.npz with label maps of the first three."""
    for index in range(4):
        cv2.imwrite(str(folder / f"c{index}.png"), cloth_photo(index))
    maps = {f"c{i}.png": np.full((80, 104), 3, np.uint8) for i in range(3)}
    np.savez(folder / "masks.npz", **maps)
