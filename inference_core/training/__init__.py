"""Training: procedural and labeled windows, simulated interaction, losses, the loop and its checkpoints."""
