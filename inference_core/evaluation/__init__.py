"""How good a model is: metrics, the click protocol, pictures, classical peers and a phantom with known tumors."""
