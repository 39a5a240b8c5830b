"""Between prompts and masks: devices, windows, cached embeddings, and the session that holds them together."""
