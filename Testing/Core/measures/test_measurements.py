"""Volume and statistics against SimpleITK's; what is reported; how long it takes."""

from __future__ import annotations

import time

import numpy as np
import pytest
import SimpleITK as sitk

from inference_core.errors import VolumeError
from inference_core.geometry.mask import EMPTY, Mask
from inference_core.geometry.volume import Volume
from inference_core.io.itk import sitk_from_array
from inference_core.measures.measurements import COLUMNS, measure


def noise_on(grid, *, seed=0):
    return np.random.default_rng(seed).normal(-20, 130, grid.shape).astype(np.float32)


def test_volume_and_statistics_are_simpleitks(random_lesions):
    for mask, grid in random_lesions(60):
        volume = Volume(noise_on(grid), grid)
        labels = sitk_from_array(mask.on(grid.shape), grid)
        shape = sitk.LabelShapeStatisticsImageFilter()
        shape.Execute(labels)
        values = sitk.LabelIntensityStatisticsImageFilter()
        values.SetNumberOfBins(100_000)
        values.Execute(labels, sitk_from_array(volume.array, grid))
        found = measure(mask, volume)
        assert found.volume_ml * 1000 == pytest.approx(shape.GetPhysicalSize(1), rel=1e-3)
        assert found.statistics.mean == pytest.approx(values.GetMean(1), rel=1e-3)
        assert found.statistics.min == pytest.approx(values.GetMinimum(1), rel=1e-3)
        assert found.statistics.max == pytest.approx(values.GetMaximum(1), rel=1e-3)
        if mask.voxel_count > 1:
            assert found.statistics.sd == pytest.approx(values.GetStandardDeviation(1), rel=1e-3)
        if mask.voxel_count % 2:  # of an even number ITK takes the lower one of the middle two
            assert found.statistics.median == pytest.approx(values.GetMedian(1), rel=1e-3, abs=0.02)


def test_the_report_gives_every_number_its_unit_and_the_ends_of_each_diameter(a_ball):
    mask, volume = a_ball(9.0)
    report = measure(mask, volume, unit="HU").as_json()
    assert report["volume"]["unit"] == "ml"
    assert report["volume"]["value"] == pytest.approx(4 / 3 * np.pi * 0.9**3, rel=0.03)
    for name in ("longest_axial_diameter", "perpendicular_diameter", "longest_3d_diameter"):
        start, end = np.array(report[name]["ends_ras"])
        assert report[name]["value"] == pytest.approx(np.linalg.norm(end - start))
        assert report[name]["unit"] == "mm"
    assert {value["unit"] for value in report["statistics"].values()} == {"HU"}
    assert report["statistics"]["mean"]["value"] == pytest.approx(40, abs=1)


def test_a_row_has_a_cell_for_each_column(a_ball):
    mask, volume = a_ball(5.0)
    row = measure(mask, volume, unit="HU").as_row()
    assert tuple(row) == COLUMNS
    assert row["unit"] == "HU"
    assert float(row["longest_axial_mm"]) == pytest.approx(10, abs=1)


def test_of_an_empty_mask_there_is_a_volume_of_zero_and_nothing_else(a_ball):
    _, volume = a_ball(5.0)
    found = measure(EMPTY, volume)
    assert (found.volume_ml, found.axial, found.longest_3d, found.statistics) == (0, None, None, None)
    assert [name for name, cell in found.as_row().items() if cell] == ["voxels", "volume_ml"]
    assert found.as_json()["statistics"] == {}


def test_voxels_that_are_no_numbers_are_left_out_of_the_statistics(a_ball):
    mask, volume = a_ball(5.0)
    array = volume.array.astype(np.float32)
    inside = np.argwhere(mask.on(array.shape))
    array[tuple(inside[:7].T)] = [np.nan, np.inf, -np.inf, np.nan, np.nan, np.nan, np.inf]
    found = measure(mask, Volume(array, volume.grid)).statistics
    rest = volume.array[tuple(inside[7:].T)]
    assert (found.mean, found.max) == (pytest.approx(rest.mean()), rest.max())


def test_a_mask_beyond_the_volume_is_refused(a_ball):
    mask, volume = a_ball(5.0)
    shifted = Mask((mask.start[0] + 50, *mask.start[1:]), mask.array)
    with pytest.raises(VolumeError, match="reaches beyond 'ball'"):
        measure(shifted, volume)


def test_a_hundred_milliliters_are_measured_in_a_tenth_of_a_second(a_ball):
    mask, volume = a_ball(28.8)  # 100 ml in voxels of 0.7 x 0.7 x 1 mm
    assert measure(mask, volume).volume_ml == pytest.approx(100, rel=0.01)

    def seconds():
        started = time.thread_time()
        measure(mask, volume)
        return time.thread_time() - started

    assert min(seconds() for _ in range(5)) < 0.1
