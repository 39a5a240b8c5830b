"""A small host that behaves like 3D Slicer where there is no Slicer: real MRML, real views, stand-ins for the rest."""
