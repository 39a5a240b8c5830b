"""Puts a user's own data into the scene: a DICOM folder, a volume file or a saved scene."""

from __future__ import annotations

import slicer

SCENES = (".mrb", ".mrml")
# A CT, whose air is at -1000 HU, is shown as Slicer shows it by the window its header names.
AIR_BELOW, SOFT_TISSUE = -500, (-160, 240)


def openInput(path):
    """Load what the path names and show it. Returns the volume node.

    Raises SAM3DError where a DICOM folder cannot be read, RuntimeError where Slicer's readers refuse a file.
    """
    if path.name.endswith(SCENES):
        slicer.util.loadScene(str(path), {"clear": True})
        volume = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
        if volume is None:
            raise RuntimeError(f"There is no volume in the scene {path.name}.")
    elif path.is_dir() or path.suffix in (".dcm", ""):
        volume = _readSeries(path)
    else:
        volume = slicer.util.loadVolume(str(path))
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    return volume


def centerOf(volume):
    """The middle of a volume in RAS mm."""
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    return tuple((bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3))


def _readSeries(path):
    """DICOM through the project's own reader: the host has no DICOM module, but leaves the node as Slicer's does."""
    from inference_core.io.dicom import find_source
    from inference_core.io.files import read_volume

    volume = read_volume(path)
    array = volume.array.transpose(2, 1, 0).copy()
    node = slicer.util.addVolumeFromArray(array, ijkToRAS=volume.grid.affine, name=path.name)
    source, hierarchy = find_source(path), slicer.mrmlScene.GetSubjectHierarchyNode()
    node.SetAttribute("DICOM.instanceUIDs", " ".join(slicer.dicomDatabase.insert(file) for file in source.paths))
    putUnderPatient(hierarchy, node, source.paths)
    if source.unit == "HU":
        units = slicer.vtkCodedEntry()
        units.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
        node.SetVoxelValueUnits(units)
    if array.min() < AIR_BELOW:
        node.GetDisplayNode().AutoWindowLevelOff()
        node.GetDisplayNode().SetWindowLevelMinMax(*SOFT_TISSUE)
    return node


def putUnderPatient(hierarchy, node, paths):
    """Patient and study above the image, the patient by its DICOM ID, as Slicer's DICOM module puts them."""
    from inference_core.io.segment_names import patient_id

    patientId = patient_id(tuple(paths)) or "UnnamedPatient"
    scene, constants = hierarchy.GetSceneItemID(), slicer.vtkMRMLSubjectHierarchyConstants
    patient = hierarchy.GetItemByUID("DICOM", patientId)
    if not patient:
        patient = hierarchy.CreateSubjectItem(scene, patientId)
        hierarchy.SetItemUID(patient, "DICOM", patientId)
    study = hierarchy.CreateStudyItem(patient, "study")
    assert hierarchy.GetItemLevel(patient) == constants.GetDICOMLevelPatient()
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), study)
