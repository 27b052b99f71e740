"""A shoot: which photos there are, where each goes, and the way through the three stages.

Nothing here decodes, retouches or encodes: those are handed in, so that a batch can be reasoned
about, and tested, without a network or a codec.
"""
