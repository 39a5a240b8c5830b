"""Promptable 3D segmentation without Slicer, Qt or a server: volumes in, clicks in, masks out.

Importing this package loads neither torch nor SimpleITK; the modules that need them load them when they are used.
"""

__version__ = "0.1.0"
