# Slicer writes here what other extensions need to build on this one; nothing does.
