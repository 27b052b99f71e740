"""What a user is told of metadata that is knowingly left out, one sentence each."""

from __future__ import annotations

C2PA = "Its C2PA manifest was left out: it does not hold for a changed photo."
JUMBF = "Its JUMBF data was left out: it belongs to the old encoding."
FURTHER_IMAGES = "The further images behind it (MPF) were left out."
GAIN_MAP = "Its HDR gain map was left out: what remains is its standard rendition."
SECOND_IMAGE = "XMP about a second image (gain map, depth map, clip) was left out."
LAYERS = "Its Photoshop layers were left out: they show it before the retouch."
ANIMATION = "It is animated: only its first image was taken."
MAKER_NOTE_MOVED = "Its MakerNote had to be moved: offsets inside it may not hold any more."
RESOURCES = "Its Photoshop resources are damaged: some were left out."
