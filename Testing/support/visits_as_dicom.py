"""Two visits of one patient as DICOM series: painted ones with known lesions, and a glioblastoma where there is one."""

from dataclasses import dataclass

import numpy as np
from support.glioblastoma import PATIENT, glioblastoma
from support.scenes import oblique_grid, spheres

BEFORE, AFTER = "before", "after"


@dataclass
class Case:
    """Two folders with a series each, where to click in the first, how to align them, and the unit of their voxels.

    new: a point at the later visit where a lesion is that was not there before, if there is one.
    """

    folders: dict
    points: list
    how: str
    organ: str
    unit: str
    new: tuple | None = None


def write_visit(folder, array, grid, *, modality):
    from inference_core.io.dicom_writer import write_dicom_series

    patient = {"patient_name": "Newcomer^Case", "patient_id": "ID-4711"}
    write_dicom_series(folder, array, grid, modality=modality, **patient)


def a_head(grid, balls, middle, *, seed):
    """A CT of a body of water with bone and gas in it, and brighter lesions; int16 HU with noise."""
    hu = -1000 + 1040 * spheres(grid, [(middle, 34.0)])
    for at, radius, value in (((0, -22, 4), 6.0, 700), ((-20, 14, 12), 5.0, -940), ((16, 18, 14), 4.0, 600)):
        hu += value * spheres(grid, [(middle + np.array(at), radius)])
    for center, radius in balls:
        hu += 90 * spheres(grid, [(center, radius)])
    return np.rint(hu + np.random.default_rng(seed).normal(0, 4, hu.shape)).astype(np.int16)


def synthetic_visits(folder, radii, *, isNew):
    """Two oblique, anisotropic grids of either hand; the later patient lies 4 mm aside. Radii in mm."""
    from inference_core.geometry.grid import Grid

    before, other = oblique_grid(29, 1, size_mm=84.0), oblique_grid(7, 2, size_mm=84.0)
    affine = other.affine.copy()
    affine[:3, 3] += before.center_ras - other.center_ras
    after, middle, moved = Grid(other.shape, affine), before.center_ras, np.array([3.0, -2.0, 1.5])
    places = [middle + at for at in ((13.0, -4.0, 3.0), (-11.0, -3.0, -6.0))]
    fresh = middle + (2.0, 16.0, -12.0)
    old = list(zip(places, radii[0], strict=True))
    new = [(at + moved, radius) for at, radius in zip(places, radii[1], strict=True)]
    new += [(fresh + moved, 6.0)] if isNew else []
    folders = {visit: folder / visit for visit in (BEFORE, AFTER)}
    write_visit(folders[BEFORE], a_head(before, old, middle, seed=1), before, modality="CT")
    write_visit(folders[AFTER], a_head(after, new, middle + moved, seed=2), after, modality="CT")
    points = [tuple(place) for place in places]
    return Case(folders, points, "Rigid", "brain", "HU", new=tuple(fresh + moved) if isNew else None)


def glioblastoma_visits(target):
    """A patient before and after treatment, and where experts see the two largest pieces of enhancing tumor."""
    from scipy import ndimage

    from inference_core.io.files import read_volume

    cases = {visit: glioblastoma(PATIENT, name) for visit, name in ((BEFORE, "pre"), (AFTER, "post"))}
    folders = {visit: target / visit for visit in (BEFORE, AFTER)}
    for visit, files in cases.items():
        volume = read_volume(files[0])
        write_visit(folders[visit], np.rint(volume.array).astype(np.int16), volume.grid, modality="MR")
    label = read_volume(cases[BEFORE][1])
    pieces, count = ndimage.label(label.array > 0, np.ones((3, 3, 3)))
    largest = 1 + np.argsort(ndimage.sum(pieces > 0, pieces, range(1, count + 1)))[::-1][:2]
    points = []
    for piece in largest:
        depth = ndimage.distance_transform_edt(pieces == piece, sampling=label.grid.spacing)
        points.append(tuple(label.grid.to_ras(np.unravel_index(depth.argmax(), depth.shape))))
    return Case(folders, points, "Rigid", "brain", "")
