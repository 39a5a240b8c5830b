"""Files in and out: DICOM, NIfTI, NRRD, MetaImage, segmentations, prompts.json; written whole or not at all."""
