"""MA-SAM (Chen et al., arXiv:2309.08842)."""
