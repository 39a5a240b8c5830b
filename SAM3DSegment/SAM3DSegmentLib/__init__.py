"""The Slicer module SAM3DSegment, room by room; `SAM3DSegment.py` beside this folder is what Slicer loads."""
