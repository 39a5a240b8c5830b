"""The command line: `python -m inference_core`, or `sam3dsegment` where the package is installed.

Its modules import what is heavy (numpy, torch, SimpleITK) inside functions, so that `--help` answers at once.
"""
