"""The papers' tables: how each was measured, what it says, and the same rows for weights of one's own."""
