"""abpn: batch retouching of studio photos with the Adaptive Blend Pyramid Network."""

__version__ = "0.1.0"
