"""One file per verb: words become values, and one call does the work.

Nothing heavy is imported when these files are: torch, OpenCV, numpy and the rooms that need them
are imported inside the commands, so that help answers at once.
"""
