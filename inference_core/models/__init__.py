"""Model families: one file each over shared blocks, found through the registry. `spec` and `registry` need no torch."""
