"""Prompts through transforms that bend: displacement fields and B-splines, both ways, and those without a way back."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import map_coordinates
from support.scenes import oblique_grid, spheres

from inference_core.errors import VolumeError
from inference_core.followup.carrying import carried
from inference_core.followup.registration import given, read_alignment
from inference_core.followup.warping import field_of, inverse_of, itk_warp
from inference_core.geometry.box import Box3D
from inference_core.geometry.grid import LPS_FROM_RAS
from inference_core.geometry.volume import Volume
from inference_core.io.itk import sitk_from_array
from inference_core.prompts.prompt_set import BoxPrompt, Click, PromptSet
from inference_core.prompts.strokes import Lasso, Line, Scribble

FLIP = LPS_FROM_RAS[:3, :3]
GRID = oblique_grid(orientation=13, spacing=1, size_mm=60.0)
CENTER = GRID.center_ras


def swirl(points):
    """A smooth bend of up to some 8 mm in RAS, with a known formula."""
    far = (np.asarray(points) - CENTER) / 25.0
    bend = 8.0 * np.exp(-(far**2).sum(axis=-1))[..., None]
    return points + bend * np.array([0.7, -0.5, 0.5]) + 3.0 * np.sin(far[..., [1, 2, 0]])


def as_field(bend=swirl, spacing=1.5):
    """Of every 1.5 mm, RAS, as ITK's displacement field in LPS."""
    low, high = CENTER - 60.0, CENTER + 60.0
    count = int(120 / spacing) + 1
    nodes = low + np.moveaxis(np.indices((count,) * 3), 0, -1) * spacing
    moved = (bend(nodes) - nodes) @ FLIP
    image = sitk.GetImageFromArray(np.ascontiguousarray(moved[::-1, ::-1].transpose(2, 1, 0, 3)), isVector=True)
    image.SetOrigin([-high[0], -high[1], low[2]])
    image.SetSpacing([spacing] * 3)
    return sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))


def as_splines():
    image = sitk.Image([61, 61, 61], sitk.sitkFloat32)
    image.SetOrigin((FLIP @ CENTER - 60.0).tolist())
    image.SetSpacing([2.0] * 3)
    spline = sitk.BSplineTransformInitializer(image, [5, 5, 5])
    spline.SetParameters((5.0 * np.random.default_rng(4).standard_normal(len(spline.GetParameters()))).tolist())
    return spline


TRANSFORMS = {
    "a displacement field": as_field,
    "B-splines": as_splines,
    "a field after a turn": lambda: sitk.CompositeTransform(
        [as_field(), sitk.Euler3DTransform((FLIP @ CENTER).tolist(), 0.3, -0.2, 0.9, (12.0, -30.0, 8.0))]
    ),
}
PROMPTS = PromptSet(
    (
        Click(tuple(CENTER + (3, 2, 1)), positive=False, reach_mm=9.0),
        Line(tuple(CENTER), tuple(CENTER + (14, -3, 2))),
        Scribble(tuple(map(tuple, CENTER + np.array([(0.0, 0, 0), (4, 1, 0), (9, 3, 2)])))),
        Lasso(tuple(map(tuple, CENTER + np.array([(0.0, 0, 0), (8, 0, 0), (8, 6, 0), (0, 6, 0)])))),
    )
)


def points_of(prompts):
    return np.concatenate(
        [np.atleast_2d(prompt.ras if isinstance(prompt, Click) else prompt.points_ras) for prompt in prompts.prompts]
    )


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_files_points_go_forward_and_as_slicer_saves_it_back(tmp_path, name):
    transform = TRANSFORMS[name]()
    sitk.WriteTransform(transform, str(tmp_path / "bent.h5"))
    given_points = points_of(PROMPTS)
    expected = np.array([transform.TransformPoint((FLIP @ point).tolist()) for point in given_points]) @ FLIP
    assert np.linalg.norm(expected - given_points, axis=1).min() > 0.5
    there = carried(PROMPTS, read_alignment(tmp_path / "bent.h5").way)
    assert np.allclose(points_of(there), expected, atol=1e-6)
    assert (there.prompts[0].positive, there.prompts[0].reach_mm) == (False, 9.0)
    back = carried(there, read_alignment(tmp_path / "bent.h5", moves_the_image=True).way)
    assert np.abs(points_of(back) - given_points).max() < 0.01


def test_a_box_is_turned_and_stretched_as_what_is_in_it():
    def bend(points):
        return (points - CENTER) * (1.5, 1.0, 0.8) @ np.array([[0, 1.0, 0], [-1, 0, 0], [0, 0, 1]]) + CENTER + 5.0

    box = carried(PromptSet((BoxPrompt(Box3D.aligned(tuple(CENTER), (10, 20, 30))),)), bend).boxes[0]
    assert np.allclose(box.center, CENTER + 5.0)
    assert np.allclose(box.size, (15, 20, 24))
    assert np.allclose(np.abs(box.axes), [[0, 1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-9)


@pytest.mark.parametrize("moves_the_image", [False, True])
def test_where_a_transform_folds_a_lesion_has_no_place(tmp_path, moves_the_image):
    def fold(points):
        return points + np.sin((points[..., [0]] - CENTER[0]) / 8.0) * (-30.0, 0.0, 0.0)

    sitk.WriteTransform(as_field(fold), str(tmp_path / "folded.h5"))
    way = read_alignment(tmp_path / "folded.h5", moves_the_image=moves_the_image).way
    with pytest.raises(VolumeError, match=r"'folded.h5' folds or tears where a lesion lies"):
        carried(PROMPTS, way)


def test_a_way_back_that_is_not_there_ends():
    with pytest.raises(VolumeError, match="folds or tears"):
        inverse_of(lambda points: np.zeros_like(points) + CENTER, "flat")(CENTER[None] + 3)


def test_a_field_of_a_warp_says_the_same():
    transform = field_of(swirl, [GRID, oblique_grid(orientation=29, spacing=1, size_mm=40.0)])
    points = CENTER + np.random.default_rng(1).uniform(-15, 15, (40, 3))
    assert np.abs(itk_warp(transform)(points) - swirl(points)).max() < 0.3


def test_a_bent_transform_the_wrong_way_round_is_pointed_out(tmp_path):
    balls = [(CENTER + at, radius) for at, radius in (((0, 0, 0), 9.0), ((14, 8, -9), 6.0), ((-13, -9, 10), 7.0))]
    before = Volume(spheres(GRID, balls), GRID, "before")
    transform = as_field()
    places = GRID.to_ras(np.moveaxis(np.indices(GRID.shape), 0, -1)).reshape(-1, 3)
    seen = GRID.to_ijk(itk_warp(transform)(places))
    after = Volume(map_coordinates(before.array, seen.T, order=1).reshape(GRID.shape), GRID, "after")
    # The later image shows at each place what the earlier one shows where the field leads: later to earlier.
    sitk.WriteTransform(transform, str(tmp_path / "bent.h5"))
    right = given(read_alignment(tmp_path / "bent.h5", moves_the_image=True), before, after)
    assert right.caution == ""
    assert right.moved_mm == pytest.approx(np.linalg.norm(right.way(CENTER[None])[0] - CENTER), abs=1e-6)
    wrong = given(read_alignment(tmp_path / "bent.h5"), before, after)
    assert "the other way round" in wrong.caution


@pytest.mark.parametrize("moves_the_image", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_beside_a_field_or_splines_a_lesion_has_no_place(tmp_path, moves_the_image, turned):
    """ITK leaves points there where they are, which would be a place like any other."""
    for transform in (as_field(), as_splines()):
        turn = sitk.Euler3DTransform((FLIP @ CENTER).tolist(), 0.3, -0.2, 0.9)
        whole = sitk.CompositeTransform([transform, turn]) if turned else transform
        sitk.WriteTransform(whole, str(tmp_path / "part.h5"))
        alignment = read_alignment(tmp_path / "part.h5", moves_the_image=moves_the_image)
        carried(PromptSet((Click(tuple(CENTER + (20, -15, 10))),)), alignment.way)
        with pytest.raises(VolumeError, match=r"'part\.h5' does not reach the place"):
            carried(PromptSet((Click(tuple(CENTER + (150, 0, 0))),)), alignment.way)


def test_a_transform_of_the_lesions_surroundings_alone_is_taken(tmp_path):
    """Its field does not reach the middle of the image, from which an alignment's movement is told otherwise."""
    last = np.array(GRID.shape) - 1
    around = GRID.cropped(last - 12, last + 8)
    field = sitk.GetImageFromArray(np.full((*around.shape[::-1], 3), 4.0), isVector=True)
    field.CopyInformation(sitk_from_array(np.zeros(around.shape, np.int16), around))
    sitk.WriteTransform(sitk.DisplacementFieldTransform(field), str(tmp_path / "a.h5"))
    volume = Volume(np.zeros(GRID.shape, np.int16), GRID)
    alignment = given(read_alignment(tmp_path / "a.h5"), volume, volume)
    assert alignment.moved_mm == pytest.approx(4 * 3**0.5)
    moved = carried(PromptSet((Click(tuple(GRID.to_ras(last - 2))),)), alignment.way).prompts[0]
    assert np.abs(moved.ras - GRID.to_ras(last - 2) - (-4.0, -4.0, 4.0)).max() < 1e-6


def test_a_transform_of_the_plane_is_refused(tmp_path):
    sitk.WriteTransform(sitk.Euler2DTransform(), str(tmp_path / "plane.tfm"))
    with pytest.raises(VolumeError, match=r"'plane\.tfm' is not one of three dimensions"):
        read_alignment(tmp_path / "plane.tfm")
