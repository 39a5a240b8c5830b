"""What a radiologist asks of a mask: volume, diameters, statistics, distances, and the change since the last visit."""
