"""SAM-Med3D (Wang et al., arXiv:2310.15161)."""
