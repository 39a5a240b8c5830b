"""The published recipes, one file a family."""
