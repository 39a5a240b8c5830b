"""3DSAM-adapter (Gong et al., arXiv:2306.13465)."""
