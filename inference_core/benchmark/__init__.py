"""Speed and memory, and the straightforward reference form of each family; not installed into Slicer."""
