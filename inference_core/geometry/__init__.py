"""Where voxels lie: grids, volumes, boxes, sampling, and the files they come from. No torch here."""
