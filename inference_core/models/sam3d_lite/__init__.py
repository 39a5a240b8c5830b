"""SAM3D lite, the built-in model."""
