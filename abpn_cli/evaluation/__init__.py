"""Judging what ships: measures, classical filters beside the network, and a page to look at."""
