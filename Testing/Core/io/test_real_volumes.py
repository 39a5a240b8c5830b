"""Volumes from hospitals and archives, with the sizes and places their descriptions give."""

import time

import numpy as np
import pytest
import SimpleITK as sitk

from inference_core.io.files import read_labels, read_volume, write_labels
from inference_core.io.itk import grid_from_sitk

SERIES = [
    ("ct_liver_mets_crlm1006/dicom", (512, 512, 51), (0.804688, 0.804688, 5.0), "LPS", np.int16),
    ("ct_dicom_jpeg2000_ts/dicom", (512, 512, 20), (0.9765625, 0.9765625, 2.0), "LPS", np.int16),
    ("ct_sarcoma_sts003/dicom", (154, 158, 51), (0.976562, 0.976562, 3.27), "LPS", np.int16),
    ("mr_prostate_px0000/dicom", (384, 384, 19), (0.5, 0.5, 3.0), "LPS", np.uint16),
]
FILES = [
    ("ct_multiorgan_ts3mm/image.nii.gz", (122, 101, 112), (3.0, 3.0, 3.0), "RAS", np.int32),
    ("ct_aortic_dissection_ts/image.nii.gz", (120, 126, 164), (1.5, 1.5, 1.5), "LPS", np.int16),
    ("mr_glioma_brain1/image.nrrd", (256, 256, 25), (0.78125, 0.78125, 6.5), "LAS", np.int16),
    ("mr_hippocampus_003/image.nii.gz", (34, 52, 35), (1.0, 1.0, 1.0), "RAS", np.float32),
    ("mr_vertebra_tptbox/image.nii.gz", (68, 52, 67), (1.5, 1.5, 1.5), "PIR", np.uint16),
]
LABELED = ["ct_liver_mets_crlm1006", "ct_dicom_jpeg2000_ts", "ct_sarcoma_sts003"]


@pytest.mark.parametrize("description", SERIES + FILES, ids=lambda description: description[0])
def test_a_real_volume_is_read_as_described(real_data, description):
    place, shape, spacing, codes, kind = description
    volume = read_volume(real_data / place)
    assert volume.grid.shape == shape
    assert np.allclose(volume.grid.spacing, spacing, rtol=0, atol=1e-3)
    assert volume.grid.axis_codes == codes
    assert volume.array.dtype == kind


@pytest.mark.parametrize("place", [place for place, *_ in SERIES])
def test_itk_reads_the_same_voxels_at_the_same_places(real_data, place):
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(real_data / place))
    if not files:  # the series without UIDs, which GDCM cannot group
        files = sorted((str(path) for path in (real_data / place).iterdir()), key=_superior)
    image = sitk.ReadImage(files)
    volume = read_volume(real_data / place)
    assert volume.grid.matches(grid_from_sitk(image), tolerance_mm=1e-3)
    assert np.array_equal(volume.array, sitk.GetArrayViewFromImage(image).T)


@pytest.mark.parametrize("place", LABELED)
def test_labels_drawn_on_a_series_lie_on_its_grid(real_data, place):
    labels = read_labels(real_data / place / "label.nii.gz")
    assert labels.grid.matches(read_volume(real_data / place / "dicom").grid, tolerance_mm=1e-2)


def test_every_labeled_file_lies_on_its_image(real_data):
    pairs = [(path, path.with_name(path.name.replace("label", "image"))) for path in real_data.glob("*/label.n*")]
    pairs = [(label, image) for label, image in pairs if image.exists()]
    assert len(pairs) >= 10
    for label, image in pairs:
        assert read_labels(label).grid.matches(read_volume(image).grid, tolerance_mm=1e-2), label


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".seg.nrrd"])
def test_a_mask_of_the_oblique_prostate_series_stays_on_it(real_data, tmp_path, suffix):
    volume = read_volume(real_data / "mr_prostate_px0000" / "dicom")
    mask = volume.array > 300
    write_labels(tmp_path / f"mask{suffix}", mask, volume.grid)
    again = read_labels(tmp_path / f"mask{suffix}")
    assert again.grid.matches(volume.grid, tolerance_mm=1e-4)
    assert np.array_equal(again.array, mask)


def test_a_series_is_read_without_long_waiting(real_data):
    start = time.perf_counter()
    read_volume(real_data / "ct_liver_mets_crlm1006" / "dicom")
    assert time.perf_counter() - start < 10


def _superior(path):
    reader = sitk.ImageFileReader()
    reader.SetFileName(path)
    reader.ReadImageInformation()
    return reader.GetOrigin()[2]
