"""Between MRML and the core: volumes, segments, their grids. Slicer's arrays are (k, j, i); they are turned here, once.

A segmentation has one common grid for all its segments, which need not be the volume's. `SegmentGrid` says where it
lies in the world; masks are `Mask`es in its indices. A labelmap that was brought in on another grid is read onto it.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

if TYPE_CHECKING:
    from inference_core.geometry.grid import Grid
    from inference_core.geometry.mask import Mask
    from inference_core.geometry.volume import Volume

_SAME_MM = 1e-3


@dataclass(frozen=True, eq=False)
class SegmentGrid:
    """The voxels of a segmentation, without an end: labelmaps may reach anywhere, to negative indices too.

    `lattice` maps the labelmaps' own indices (i, j, k) to world RAS mm (its shape means nothing); `imageToNode` (4, 4)
    maps them to the segmentation node's own RAS, without its parent transforms.
    """

    lattice: "Grid"
    imageToNode: np.ndarray

    def voxelAt(self, ras: Any) -> tuple[int, int, int]:
        """The voxel that holds a point in world RAS mm."""
        i, j, k = self.lattice.voxels_at(ras).tolist()
        return i, j, k

    def sameVoxelsAs(self, other: "SegmentGrid") -> bool:
        """Whether indices mean the same voxels in both, wherever the node has been moved to."""
        return bool(np.allclose(self.imageToNode, other.imageToNode, rtol=0, atol=_SAME_MM))


def nodeToWorld(node: Any) -> np.ndarray:
    """The (4, 4) matrix from a node's own RAS to the world's, through all its parent transforms.

    Raises:
        VolumeError: one of them is not linear.
    """
    from inference_core.errors import VolumeError

    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    matrix = transformToWorld(parent)
    if matrix is None:
        raise VolumeError(
            f"'{node.GetName()}' lies under a transform that is not linear; harden the transform on it and try again."
        )
    return matrix


def transformToWorld(transformNode: Any) -> np.ndarray | None:
    """What a transform node does to what lies under it, with its own parents, (4, 4) in RAS mm; None if not linear."""
    matrix = vtk.vtkMatrix4x4()
    isLinear = transformNode.IsTransformToWorldLinear() and transformNode.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix) if isLinear else None


def volumeFromNode(node: Any) -> "Volume":
    """A scalar volume node's voxels, as a view in (i, j, k) order, on their grid in the world.

    Raises:
        VolumeError: the node has no voxels, several components, or a geometry that cannot be trusted.
    """
    from inference_core.errors import VolumeError
    from inference_core.geometry.grid import Grid
    from inference_core.geometry.volume import Volume

    image = node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        raise VolumeError(f"The volume '{node.GetName()}' has no voxels; load it again or choose another one.")
    if image.GetNumberOfScalarComponents() != 1:
        raise VolumeError(f"'{node.GetName()}' is a color or vector volume; choose a volume with one value a voxel.")
    if min(image.GetDimensions()) < 2:
        raise VolumeError(f"'{node.GetName()}' is a single slice; choose a volume of at least two slices.")
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    # Through `T`, i runs fastest, as in files; nothing is copied.
    array = slicer.util.arrayFromVolume(node).T
    return Volume(array, Grid(array.shape, nodeToWorld(node) @ slicer.util.arrayFromVTKMatrix(matrix)), node.GetName())


def asInFile(node: Any) -> "Volume":
    """A scalar volume node's voxels where the node has them itself, below its transforms: as they were loaded.

    Raises:
        VolumeError: as `volumeFromNode`.
    """
    from inference_core.geometry.grid import Grid
    from inference_core.geometry.volume import Volume

    shown = volumeFromNode(node)
    return Volume(shown.array, Grid(shown.grid.shape, np.linalg.inv(nodeToWorld(node)) @ shown.grid.affine), shown.name)


def segmentGrid(segmentationNode: Any) -> SegmentGrid:
    """The grid of a segmentation: that of its labelmaps, else its reference geometry.

    Raises:
        VolumeError: it has none, it cannot be trusted, or it lies under a transform that is not linear.
    """
    from inference_core.errors import VolumeError

    segmentation = segmentationNode.GetSegmentation()
    # Labelmaps that are there count for more than the reference, which may have been changed after they were made.
    text = segmentation.DetermineCommonLabelmapGeometry(
        slicer.vtkSegmentation.EXTENT_UNION_OF_SEGMENTS, None
    ) or segmentation.GetConversionParameter(slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName())
    image = slicer.vtkOrientedImageData()
    if not text or not slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, image, False):
        raise VolumeError(f"The segmentation '{segmentationNode.GetName()}' has no geometry; choose or make another.")
    return _gridOf(segmentationNode, image)


def ownGrid(segmentationNode: Any, segmentId: str) -> SegmentGrid | None:
    """The grid of the labelmap that holds a segment; None where none does.

    Slicer keeps labelmaps as they were brought in: one may be finer or turned against the segmentation's common grid.
    """
    image = segmentationNode.GetBinaryLabelmapInternalRepresentation(segmentId)
    if image is None:
        return None
    return _gridOf(segmentationNode, image)


def _gridOf(segmentationNode: Any, image: Any) -> SegmentGrid:
    """The grid of one of a segmentation's oriented images."""
    from inference_core.geometry.grid import Grid

    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    imageToNode = slicer.util.arrayFromVTKMatrix(matrix)
    return SegmentGrid(Grid((1, 1, 1), nodeToWorld(segmentationNode) @ imageToNode), imageToNode)


def readSegment(segmentationNode: Any, segmentId: str) -> "Mask":
    """The voxels of a segment, in the indices of the segmentation's common grid."""
    return _onCommonGrid(segmentationNode, segmentId, readOwn(segmentationNode, segmentId))


def readOwn(segmentationNode: Any, segmentId: str) -> "Mask":
    """The voxels of a segment, in the indices of the labelmap that holds it: those of `ownGrid`."""
    from inference_core.geometry.mask import EMPTY, Mask

    view = labelView(segmentationNode, segmentId)
    if view is None:
        return EMPTY
    array, first, value = view
    return Mask.of(array == value, first)


def _onCommonGrid(segmentationNode: Any, segmentId: str, mask: "Mask") -> "Mask":
    own = ownGrid(segmentationNode, segmentId)
    if own is None or not mask.array.size:
        return mask
    common = segmentGrid(segmentationNode)
    return mask if own.sameVoxelsAs(common) else onSegmentGrid(mask, own.lattice, common)


def readLayer(segmentationNode: Any, segmentId: str) -> "dict[str, Mask]":
    """The voxels of a segment and of all that share its labelmap, by their ids, as `readSegment` has them.

    The labelmap is gone through once, however many share it.
    """
    from inference_core.geometry.mask import EMPTY, Mask, VoxelBox

    segmentation = segmentationNode.GetSegmentation()
    image = segmentationNode.GetBinaryLabelmapInternalRepresentation(segmentId)
    others = segmentation.GetSegmentIDs() if image is not None else ()
    shared = [
        other for other in others if segmentationNode.GetBinaryLabelmapInternalRepresentation(other) is image
    ]  # fmt: skip
    view = labelView(segmentationNode, segmentId)
    if view is None or len(shared) < 2:
        return {other: readSegment(segmentationNode, other) for other in (shared or [segmentId])}
    array, first, _ = view
    places = np.flatnonzero(array.ravel(order="K"))
    values = array.ravel(order="K")[places]
    found = {}
    for other in shared:
        value = segmentation.GetSegment(other).GetLabelValue()
        ijk = np.unravel_index(places[values == value], array.shape, order="F")
        if not ijk[0].size:
            found[other] = EMPTY
            continue
        box = VoxelBox(np.array([axis.min() for axis in ijk]), np.array([axis.max() + 1 for axis in ijk]))
        start = np.add(first, box.start).tolist()
        mask = Mask((start[0], start[1], start[2]), np.asfortranarray(array[box.slices()] == value))
        found[other] = _onCommonGrid(segmentationNode, other, mask)
    return found


def labelTime(segmentationNode: Any, segmentId: str) -> Hashable:
    """What tells the labelmap that holds a segment, and maybe others, from what it was before it was changed."""
    image = segmentationNode.GetBinaryLabelmapInternalRepresentation(segmentId)
    return (image.GetAddressAsString(""), image.GetMTime()) if image is not None else None


def labelView(segmentationNode: Any, segmentId: str) -> tuple[np.ndarray, tuple[int, int, int], int] | None:
    """A writable view (i, j, k) of the labelmap a segment is stored in, the indices of its first voxel, and its value.

    None where the segment has no voxels. The labelmap may hold other segments too.
    """
    image = segmentationNode.GetBinaryLabelmapInternalRepresentation(segmentId)
    if image is None or image.IsEmpty() or image.GetPointData().GetScalars() is None:
        return None
    extent = image.GetExtent()
    shape = [extent[2 * axis + 1] - extent[2 * axis] + 1 for axis in range(3)]
    if min(shape) < 1:
        return None
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape[::-1]).T
    value = segmentationNode.GetSegmentation().GetSegment(segmentId).GetLabelValue()
    return array, (extent[0], extent[2], extent[4]), value


def orientedImage(patch: "Mask", where: SegmentGrid) -> Any:
    """A mask as the `vtkOrientedImageData` (0 and 1) that Slicer's segmentation logics take, of its own extent only."""
    image = slicer.vtkOrientedImageData()
    start, stop = patch.start, patch.stop
    image.SetExtent(*[int(n) for axis in range(3) for n in (start[axis], stop[axis] - 1)])
    flat = np.ascontiguousarray(patch.array.T).view(np.uint8).ravel()
    image.GetPointData().SetScalars(numpy_to_vtk(flat, deep=1, array_type=vtk.VTK_UNSIGNED_CHAR))
    image.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(where.imageToNode))
    return image


def onSegmentGrid(patch: "Mask", volumeGrid: "Grid", where: SegmentGrid) -> "Mask":
    """A mask on the volume's voxels, on the segmentation's: shifted where the voxels coincide, else resampled."""
    from inference_core.geometry.regridding import on_grid

    return on_grid(patch, volumeGrid, where.lattice)


def asVolume(patch: "Mask", where: SegmentGrid) -> "Volume":
    """A mask as a core volume on the part of the grid it covers, for starting from it."""
    from inference_core.geometry.volume import Volume

    return Volume(patch.array.view(np.uint8), where.lattice.cropped(patch.start, patch.stop), "initial mask")
