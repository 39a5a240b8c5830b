"""Medical SAM Adapter (Wu et al., arXiv:2304.12620), on slices and through depth."""
