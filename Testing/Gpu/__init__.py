"""One run of a few minutes on a machine with a graphics card: `make gpu`, and what is packed for it beforehand."""
