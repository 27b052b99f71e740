"""Telling the story of a run: to people on stderr, to scripts on stdout."""
