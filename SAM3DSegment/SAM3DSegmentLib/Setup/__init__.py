"""PyTorch and what else Slicer lacks: looked for, asked about, installed."""
