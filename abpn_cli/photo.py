"""What passes between the rooms: photos, jobs, and how each of them went."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
FormatName = Literal["jpeg", "png", "tiff"]

SHAPE_TOLERANCE = 0.01  # of a mask's width by its height against the photo's: sizes are rounded
DRAW_ANEW = "Draw the mask on this photo, or on a smaller copy of the whole."


class Notice(str):
    """A warning that is told even without `-v`: it is about what the user gave with the photo."""

    __slots__ = ()


@dataclass(frozen=True)
class Metadata:
    r"""What a file says about its photo, as the bytes it holds; empty where it says nothing.

    exif:        a TIFF-structured block (``II*\0…`` or ``MM\0*…``), no ``Exif\0\0`` prefix,
                 with the Exif, GPS and Interop directories inside it.
    xmp:         the XMP packet, extended XMP not included.
    extended_xmp: the reassembled extended XMP packet of a JPEG.
    iptc:        IPTC-IIM records.
    photoshop:   Photoshop image resource blocks (``8BIM…``), IPTC included or not as found.
    icc:         the ICC profile.
    comment:     a JPEG comment; more_comments: those behind it.
    chunks:      text and colour chunks of a PNG as (type, data), for another PNG.
    segments:    application segments of a JPEG as (marker, payload), for another JPEG.
    orientation: EXIF orientation 1..8: how the stored pixels must be turned to stand upright.
    """

    exif: bytes = b""
    xmp: bytes = b""
    extended_xmp: bytes = b""
    iptc: bytes = b""
    photoshop: bytes = b""
    icc: bytes = b""
    comment: bytes = b""
    more_comments: tuple[bytes, ...] = ()
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    segments: tuple[tuple[int, bytes], ...] = ()
    orientation: int = 1


@dataclass(frozen=True)
class Provenance:
    """What made an output, as its XMP history tells it.

    version:  of abpn; task: as `--task` names it, "" where weights were given by file.
    weights:  SHA-256 of the weights file in hexadecimal, "" where no network ran.
    strength: of the retouch, None where there was none.
    style:    as `--style` names it, "" where nothing was graded.
    """

    version: str
    task: str = ""
    weights: str = ""
    strength: float | None = None
    style: str = ""


@dataclass(frozen=True)
class Photo:
    """A decoded photo, pixels as the file stores them; `metadata.orientation` turns them upright.

    pixels:   (H, W, 3) uint8 or uint16, RGB, in the file's own colour space.
    alpha:    (H, W), same type, or None.
    alpha_is: "straight"; "associated" where the pixels are multiplied by it; "other" where the
              file does not say what its fourth channel is.
    format:   what the file was: "jpeg", "png", "tiff", "raw", "heic".
    source:   the file it was read from, for the words of errors.
    warnings: what a user should know about this file, one sentence each.
    digest:   SHA-256 of the file's bytes that were decoded, in hexadecimal; "" for none.
    """

    pixels: Pixels
    metadata: Metadata = Metadata()
    alpha: Pixels | None = None
    alpha_is: Literal["straight", "associated", "other"] = "straight"
    format: str = "png"
    source: Path = Path("photo")
    warnings: tuple[str, ...] = ()
    digest: str = ""


@dataclass(frozen=True)
class Job:
    """One photo to do, settled before the batch starts.

    source, target: files read and written; relative: the source's path inside its tree.
    format:   the format of the target.
    sidecars: (read, written) pairs of `.xmp` files to copy beside the target.
    mask:     where the mask goes that is kept beside the target, or None.
    skip:     why there is nothing to do, or "" where there is.
    foreign:  whether it is skipped because its output is somebody's work.
    fault:    why it is known to fail before it is begun, which a dry run tells; "" for all else.
    inputs:   what else is read for it, as (role, SHA-256): masks, sidecars.
    warnings: what the user should know about this job, one sentence each.
    """

    source: Path
    target: Path
    relative: Path
    format: FormatName
    sidecars: tuple[tuple[Path, Path], ...] = ()
    mask: Path | None = None
    skip: str = ""
    foreign: bool = False
    fault: str = ""
    inputs: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edit:
    """What retouching did to one photo.

    mask_fraction:    share of pixels whose gate is above 0.
    changed_fraction: share of pixels that differ from the source; None where only the mask was
                      wanted.
    levels:           number of halvings l.
    device:           where the network ran ("cpu", "cuda:0").
    largest_layer:    max |B_0| after gate and strength.
    damped_fraction:  share of the photo on which the edit was taken back along outlines, lest it
                      leave ghosts of them.
    faces:            how many were found; None where nobody looked.
    moles_kept:       how many moles were kept from the network; None where nobody looked.
    precision:        in what the refining convolutions computed ("float32", "bf16", "fp16"); ""
                      where none ran.
    method:           what filled what was removed ("patchmatch", "hifill"); "" where nothing was.
    windows:          in how many windows; None where nothing was to be removed.
    """

    mask_fraction: float
    changed_fraction: float | None
    levels: int
    device: str
    largest_layer: float = 0.0
    damped_fraction: float = 0.0
    faces: int | None = None
    moles_kept: int | None = None
    precision: str = ""
    method: str = ""
    windows: int | None = None


@dataclass(frozen=True)
class Seconds:
    """Wall time of one photo's three stages, in seconds."""

    decode: float = 0.0
    retouch: float = 0.0
    encode: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How one job went. `error` is set exactly when `status` is "failed".

    A photo is "not_done" where the run was stopped before it came to it.
    """

    job: Job
    status: Literal["done", "skipped", "failed", "not_done"]
    seconds: Seconds = Seconds()
    megapixels: float = 0.0
    edit: Edit | None = None
    error: str = ""
    warnings: tuple[str, ...] = field(default=())


class MaskFit(NamedTuple):
    """How a user's mask lies on a photo.

    turned: whether it was drawn on the photo upright, and has to be turned back; fault: why nobody
    can tell what it marks, or ""; notice: that it has to be resized, or "".
    """

    turned: bool
    fault: str = ""
    notice: str = ""


def mask_fit(had: tuple[int, int], size: tuple[int, int], orientation: int, option: str) -> MaskFit:
    """Judge a mask's (height, width), upright by its own tag, against that of its photo, as stored.

    A mask that fits both ways was drawn on the photo as viewers show it: upright.
    option: `--only` or `--protect`, for the words.
    """
    height, width = size
    seen = upright_size(size, orientation)
    turned = orientation != 1 and (had == seen or (had != size and _alike(had, seen)))
    fitting = upright_size(had, orientation) if turned else had
    if fitting == size:
        return MaskFit(turned)
    if not _alike(fitting, size):
        fault = (
            f"its {option} mask is {had[1]} x {had[0]}, which is not the shape of the photo, "
            f"{seen[1]} x {seen[0]}"
        )
        return MaskFit(turned, fault)
    told = f"Its {option} mask is {had[1]} x {had[0]}, the photo {width} x {height}: resized."
    return MaskFit(turned, notice=told)


def _alike(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two (height, width) have the same shape, but for what rounding does to it."""
    ratio = size[0] * other[1] / (size[1] * other[0])
    return abs(ratio - 1) <= SHAPE_TOLERANCE


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return what (height, width) becomes when `turn_upright` turns it, or `turn_back` does."""
    return size[::-1] if orientation in (5, 6, 7, 8) else size


def turn_upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn stored pixels upright: (H, W, ...) to (H, W, ...) or (W, H, ...), a view where it can.

    orientation: EXIF tag 274, 1..8 (TIFF 6.0, p. 36): 2 mirrored left-right, 3 half turn,
    4 mirrored top-bottom, 5 transposed, 6 needs a clockwise quarter turn, 7 transversed, 8 needs a
    counter-clockwise quarter turn.
    """
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)  # 5; the rest follow by flips
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return array


def turn_back(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo `turn_upright`: upright pixels to the stored orientation."""
    inverse = {6: 8, 8: 6}.get(orientation, orientation)  # every other turn undoes itself
    return turn_upright(array, inverse)


def with_warnings(photo: Photo, *warnings: str) -> Photo:
    """Return the photo with more warnings."""
    return replace(photo, warnings=photo.warnings + warnings)
