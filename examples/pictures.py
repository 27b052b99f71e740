"""Make the pictures of docs/synthesis.md: python examples/pictures.py [FOLDER] [--only NAME].

Everything in them is rendered or drawn here; no photo is needed. `ghost` takes the shipped weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import render
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from render import PRESSED, blue_shirt, board, chino_shorts, coral_tshirt, navy_tshirt, wall
from renderer.camera import Camera, develop
from renderer.frame import Frame
from renderer.garment import Surface, put_on
from renderer.light import lit, planks
from renderer.profiles import SRGB

import abpn_cli.engine
from abpn_cli.engine import Retoucher
from abpn_cli.engine.contours import Damped
from abpn_cli.engine.network import Network, Painted
from abpn_cli.nets.lrl import MASK_STRIDE
from abpn_cli.photo import Photo
from abpn_cli.training import blemishes, creases, shine, sores, surfaces, synthesis
from abpn_cli.training.cloth_pairs import ClothPairs, Recipe
from abpn_cli.training.face_pairs import Blemish, FacePairs, FaceRecipe
from abpn_cli.training.made_pairs import Labels, Look, Scene, times
from abpn_cli.training.pairs import Sample, Shape
from abpn_cli.training.synthesis import Floats, as_floats

Tile = tuple[str, Floats]
ROOT = Path(__file__).parents[1]
TILE = 230  # px: width of a tile
GAP, LINE = 8, 20  # px: between tiles; height of a caption
SHOT = (600, 480)  # px: (height, width) of a rendered garment
TIMES = 8  # differences are shown so many times
FACE = 1024  # px: side of a picture of skin, at which lengths are stated
FACE_SIZE = (FACE, FACE)
GHOST = (430, 60)  # px: top left corner of what is shown
SEED = 4  # of pairs: its look is in colour
SKINS = ((0.90, 0.74, 0.66), (0.72, 0.52, 0.42), (0.40, 0.27, 0.21))  # display RGB
DRESSES = {
    "tshirt": (coral_tshirt, planks, 100, 0.62),
    "shirt": (blue_shirt, wall, 102, 0.56),
    "shorts": (chino_shorts, board, 103, 0.62),
    "navy": (navy_tshirt, render.sheet, 101, 0.62),
}  # dress, ground, seed, px a millimetre


@cache
def garment(name: str, wrinkled: float = 1.0, finer: int = 1) -> Scene:
    """Render a garment as a photo with its cloth, a whole number of times as large as SHOT."""
    dress, ground, seed, px_per_mm = DRESSES[name]
    rng = default_rng(seed)
    frame = Frame((SHOT[0] * finer, SHOT[1] * finer), px_per_mm * finer)
    albedo, heights = ground(rng, frame)
    surface = Surface(frame, albedo.copy(), heights)
    put_on(surface, dress(rng), rng, wrinkled=wrinkled)
    hue, ground_hue = (a / a.sum(axis=2, keepdims=True) for a in (surface.albedo, albedo))
    cloth = as_floats(np.abs(hue - ground_hue).max(axis=2) > 0.01)  # a shadow leaves hue as it is
    scene = lit(surface.albedo, surface.heights, frame)
    pixels = develop(scene, Camera(), SRGB, 255, rng)
    cloth = as_floats(cv2.morphologyEx(cloth, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)))
    return Scene(pixels.astype(np.float32) / np.float32(255), cloth)


def skin(tone: int, seed: int, side: int = 300) -> Scene:
    """A picture of even skin, soft light from one side, pores; its middle is the face."""
    rows, columns = np.mgrid[0:FACE, 0:FACE].astype(np.float32) / FACE
    light = 1.2 - 0.24 * rows - 0.16 * columns
    pores = synthesis.blur(as_floats(default_rng(seed).standard_normal((FACE, FACE))), 1.0)
    light = as_floats(light * (1 + 0.03 * pores / pores.std()))
    image = as_floats(np.clip(light[..., None] * np.array(SKINS[tone], np.float32), 0, 1))
    return Scene(image, as_floats(middle(side, np.ones((FACE, FACE)))))


def middle(side: int, field: NDArray[np.float64]) -> NDArray[np.float64]:
    """A field that is left in the middle alone."""
    return np.where(np.pad(np.ones((side, side), bool), (FACE - side) // 2), field, 0)


def face(image: Floats, side: int = 300) -> Floats:
    """The middle of a picture of skin."""
    rim = (FACE - side) // 2
    return image[rim : rim + side, rim : rim + side]


def plain(field: Floats) -> Floats:
    """Show a (H, W) field of 0..1."""
    return as_floats(np.repeat(field[..., None], 3, 2))


def grey(field: Floats) -> Floats:
    """Show a (H, W) field of standard deviation 1 about mid-grey."""
    return plain(as_floats(0.5 + field / 6))


def difference(a: Floats, b: Floats) -> Floats:
    """a - b, TIMES as much, about mid-grey."""
    return as_floats(0.5 + TIMES * (a - b))


def sheet(rows: Sequence[Sequence[Tile]], width: int = TILE) -> Floats:
    """Lay out rows of tiles, each with a caption below."""
    strips = []
    for row in rows:
        tall = max(round(width * image.shape[0] / image.shape[1]) for _, image in row)
        strip = np.ones((tall + LINE + GAP, (width + GAP) * len(row) - GAP, 3), np.float32)
        for index, (caption, image) in enumerate(row):
            height, left = round(width * image.shape[0] / image.shape[1]), index * (width + GAP)
            how = cv2.INTER_AREA if image.shape[1] > width else cv2.INTER_CUBIC
            strip[:height, left : left + width] = cv2.resize(
                image, (width, height), None, 0, 0, how
            )
            place = (left, height + 14)
            cv2.putText(strip, caption, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0.2,) * 3, 1, 16)
        strips.append(strip)
    across = max(strip.shape[1] for strip in strips)
    padded = [
        np.pad(s, ((0, 0), (0, across - s.shape[1]), (0, 0)), constant_values=1) for s in strips
    ]
    return as_floats(np.concatenate(padded))


def bank() -> creases.Bank:
    """Real wrinkles, here those of a rendered garment."""
    found = []
    for name in ("tshirt", "shirt", "shorts"):
        image, cloth, _ = garment(name)
        assert cloth is not None
        patch = synthesis.wrinkle_patch(
            image, synthesis.inner_cloth(cloth, synthesis.scale_of(image))
        )
        found += [patch] if patch is not None else []
    return creases.Bank(found)


def painted_creases() -> Floats:
    """Every generator, alone and on pressed cloth."""
    image, cloth, _ = garment("tshirt", PRESSED)
    assert cloth is not None
    size, inside = (image.shape[0], image.shape[1]), synthesis.inner_cloth(cloth, 0.6)
    makers: dict[str, Callable[[tuple[int, int], Generator], Floats]] = {
        "ridged_noise": creases.ridged_noise,
        "draped_cloth": creases.draped_cloth,
        "strokes": creases.strokes,
        "crumple": creases.crumple,
        "ripples": creases.ripples,
        "Transplant": creases.Transplant(bank()),
        "tension_folds (held out)": creases.tension_folds,
    }
    fields = {
        name: [make(size, default_rng(seed)) for seed in (1, 4)] for name, make in makers.items()
    }
    alone = [[(name, grey(field)) for name, (field, _) in fields.items()],
             [("", grey(field)) for _, field in fields.values()]]  # fmt: skip
    laid = [
        ("on cloth", times(image, as_floats(1 + 0.04 * inside * f))) for f, _ in fields.values()
    ]
    return sheet([*alone, laid])


def smoothed() -> Floats:
    """Pseudo-targets: the photo, its wrinkles lowered, what was taken."""
    rows = []
    for name in ("tshirt", "shirt", "navy"):
        image, cloth, _ = garment(name)
        assert cloth is not None
        scale = synthesis.scale_of(image)
        core = synthesis.inner_cloth(cloth, scale)
        target = times(image, synthesis.smoothed(image, core, 0.95, 17.0).ratio)
        kept = plain(synthesis.off_edges(image, core, scale) * core)
        taken = difference(target, image)
        rows.append(
            [("original", image), ("target", target), ("difference x8", taken), ("off_edges", kept)]
        )
    return sheet(rows)


def cloth_pairs() -> Floats:
    """Whole pairs of every kind as `ClothPairs` makes them: before above, after below."""
    maker = ClothPairs(
        [], [], Labels(None, ROOT), [creases.draped_cloth], Recipe(on_smooth=1), 1, 1
    )
    shape = Shape(1, (320, 256), 128)
    ground = surfaces.surface((640, 512), default_rng(3))
    scenes: dict[str, tuple[str, Scene]] = {
        "real": ("real", garment("shirt")),
        "painted": ("painted", garment("tshirt", PRESSED)),
        "smooth, both alike": ("smooth", garment("shorts")),
        "nothing to do": ("smooth", Scene(ground, None)),
    }
    pairs = {
        name: maker.cut(scene, kind, shape, default_rng(SEED))[0]
        for name, (kind, scene) in scenes.items()
    }
    return before_and_after(pairs)


def before_and_after(pairs: Mapping[str, Sample]) -> Floats:
    """Originals above, retouched photos below."""
    befores = [(f"{name}: before", pair.thumbnail) for name, pair in pairs.items()]
    return sheet([befores, [("after", pair.thumbnail_target) for pair in pairs.values()]])


def decor() -> Floats:
    """What stays or must not matter: prints, pale clothes, backgrounds, looks."""
    image, cloth, _ = garment("shirt")
    assert cloth is not None
    size = (image.shape[0], image.shape[1])
    print_ = synthesis.tonal_print(size, default_rng(2))
    behind = cloth[..., None]
    sweep = synthesis.studio_sweep(size, default_rng(2))[..., None]
    stuff = [
        ("tonal_print", times(image, as_floats(1 + (print_ - 1) * behind))),
        ("bleached", synthesis.bleached(image, cloth, 0.3)),
        ("studio_sweep", as_floats(image * behind + sweep * (1 - behind))),
        ("patches", plain(synthesis.patches(size, 0.4, default_rng(3)))),
    ]
    looks = []
    for seed in (13, 59, 36, 6):
        rng = default_rng(seed)
        look = Look.draw(rng)
        words = [f"Look: gamma {look.gamma:.2f}", "grey" if look.grey else ""]
        words += ["soft" if look.blur else "", f"JPEG {look.quality}" if look.quality else ""]
        seen = look.compressed(look.grained(look.put_on(image, 2), rng))
        looks.append((", ".join(filter(None, words)), seen))
    return sheet([stuff, looks])


def lined_surfaces() -> Floats:
    """Surfaces and things that are lined or shaded like creased cloth and stay."""
    lined = surfaces.wood, surfaces.stone, surfaces.cobbles
    smooth = surfaces.facade, surfaces.sheet, surfaces.things
    rows = [
        [(make.__name__, make((320, 400), default_rng(seed))) for make in makers]
        for makers in (lined, smooth)
        for seed in (2, 5)
    ]
    return sheet(rows, 300)


def painted_blemishes(*makers: Blemish) -> Floats:
    """Generators of blemishes on skin of three tones."""
    rows = []
    for tone in range(len(SKINS)):
        image, where, _ = skin(tone, tone)
        assert where is not None
        painted = [face(times(image, make(FACE_SIZE, where, default_rng(11)))) for make in makers]
        names = [make.__name__ for make in makers]
        rows.append([("even skin", face(image)), *zip(names, painted, strict=True)])
    return sheet(rows)


def shining() -> Floats:
    """Shine painted on skin that bulges as a forehead does, and what is left when it is taken."""
    rows, side = [], 400
    across, down = (np.mgrid[0:FACE, 0:FACE].astype(np.float32) - FACE / 2) / side
    form = 0.45 + 0.6 * np.exp(-2.2 * (across**2 + down**2))[..., None]
    for tone in range(len(SKINS)):
        even, where, _ = skin(tone, tone, side)
        assert where is not None
        image = times(even, form)
        shiny = times(image, shine.shone(image, where, default_rng(4)))
        tiles = {"even skin": image, "shone": shiny}
        tiles["matted"] = times(shiny, shine.matted(shiny, where))
        rows.append([(name, face(tile, side)) for name, tile in tiles.items()])
    return sheet(rows)


def spotted(tone: int, seed: int, side: int) -> Scene:
    """Skin with spots that stand for a person's own, and the same healed."""
    image, where, _ = skin(tone, seed, side)
    assert where is not None
    own = times(image, blemishes.blemished(FACE_SIZE, where, default_rng(20 + seed)))
    return Scene(own, where, times(own, blemishes.healed(own, where)))


def healed() -> Floats:
    """How spots are found and healed, and laid on another face."""
    image, where, clean = spotted(1, 1, 400)
    assert where is not None and clean is not None
    spots = blemishes.spots_in(image, where)
    own = np.clip((image + 1 / 255) / (clean + 1 / 255), 0.4, 1.5)
    laid = times(skin(0, 2).image, as_floats(own**1.8))
    tiles = {
        "spots": image,
        "spots_in": plain(spots),
        "healed": clean,
        "its spots, power 1.8, on another": laid,
    }
    return sheet([[(name, face(tile, 400)) for name, tile in tiles.items()]])


def face_pairs() -> Floats:
    """Whole pairs as `FacePairs` makes them."""
    recipe = FaceRecipe(transplanted=0, on_healed=1, freckles=0, shiny=0)
    maker = FacePairs([], [], Labels(None, ROOT), [blemishes.blemished], recipe, 1, 1)
    shape = Shape(1, (320, 256), 128)
    scenes = {
        "real": ("real", spotted(1, 1, 600)),
        "painted": ("painted", spotted(0, 3, 600)),
        "painted, dark skin": ("painted", spotted(2, 4, 600)),
        "clean: both healed": ("clean", spotted(1, 1, 600)),
    }
    pairs = {
        name: maker.cut(scene, kind, shape, default_rng(SEED))[0]
        for name, (kind, scene) in scenes.items()
    }
    return before_and_after(pairs)


def spilling(network: Network, thumbnail: Floats) -> Painted:
    """Stand in for the network: dark cloth is darkened at its rim, and so is what lies beside."""
    cloth = np.asarray(synthesis.luminance(thumbnail) < 0.45, np.uint8)
    depth = cv2.distanceTransform(cloth, cv2.DIST_L2, 5)
    rim = as_floats(cv2.dilate(as_floats(cloth * np.exp(-((depth / 8) ** 2))), np.ones((3, 3))))
    height, width = (side // MASK_STRIDE for side in thumbnail.shape[:2])
    retouched = as_floats(np.clip(thumbnail - 0.06 * synthesis.blur(rim, 1.5)[..., None], 0, 1))
    return Painted(retouched, np.ones((height, width), np.float32))


def ghost() -> Floats:
    """The program with an edit that spills over an outline: ghosts left, and damped."""
    image, cloth, _ = garment("navy", 1.0, 2)
    assert cloth is not None
    pixels: NDArray[np.uint8] = np.rint(image * 255).astype(np.uint8)
    engine = Retoucher(ROOT / "weights" / "cloth.safetensors", device="cpu")
    with mock.patch.object(Network, "paint", spilling):
        after, edit = engine.retouch(Photo(pixels))
        undamped = mock.Mock(side_effect=lambda image, retouched, layer: Damped(layer, 0.0))
        with mock.patch.object(abpn_cli.engine, "damp_ghosts", undamped):
            ghosts, _ = engine.retouch(Photo(pixels))
    versions = {"photo": image, "ghost": _floats(ghosts), "damped": _floats(after)}
    away = cv2.distanceTransform(np.asarray(cloth < 0.5, np.uint8), cv2.DIST_L2, 5)
    beside = (away > 2) & (away < 14)
    halos = [255 * np.abs(each - image)[beside].mean() for each in versions.values()]
    print(f"damped on {edit.damped_fraction:.1%}; halo {halos[1]:.1f} and {halos[2]:.1f} of 255")
    window = np.s_[GHOST[0] : GHOST[0] + 300, GHOST[1] : GHOST[1] + 300]
    tiles = [(name, version[window]) for name, version in versions.items()]
    changes = [("its cloth", plain(as_floats(cloth[window])))]
    changes += [
        (f"{name} - photo, x{TIMES}", difference(versions[name], image)[window])
        for name in ("ghost", "damped")
    ]
    return sheet([tiles, changes], 300)


def _floats(photo: Photo) -> Floats:
    return photo.pixels.astype(np.float32) / np.float32(255)


PICTURES: dict[str, Callable[[], Floats]] = {
    "synthesis_creases.jpg": painted_creases,
    "synthesis_smoothed.jpg": smoothed,
    "synthesis_cloth_pairs.jpg": cloth_pairs,
    "synthesis_decor.jpg": decor,
    "synthesis_surfaces.jpg": lined_surfaces,
    "synthesis_blemishes.jpg": partial(
        painted_blemishes, blemishes.blemished, blemishes.freckled, blemishes.blotched
    ),
    "synthesis_sores.jpg": partial(
        painted_blemishes, sores.domed, sores.acne, sores.scarred, sores.patched
    ),
    "synthesis_shine.jpg": shining,
    "synthesis_healed.jpg": healed,
    "synthesis_face_pairs.jpg": face_pairs,
    "ghost.png": ghost,
}


def main() -> None:
    """Make all pictures, or those whose names contain a word."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs" / "img")
    parser.add_argument("--only", default="", help="make the pictures whose name contains this")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, make in PICTURES.items():
        if arguments.only in name:
            target = arguments.folder / name
            pixels = np.rint(make().clip(0, 1) * 255).astype(np.uint8)
            quality = [cv2.IMWRITE_JPEG_QUALITY, 82] if target.suffix == ".jpg" else []
            cv2.imwrite(str(target), pixels[..., ::-1], quality)
            print(f"{target}: {target.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
