"""Training: procedural and labelled windows, simulated interaction, losses, the loop and its checkpoints."""
