"""Independent programs that read or check DICOM, where a developer has them: dcmqi and dicom-validator.

Both are in the extra `interop`; they may stand in another environment, whose folder of programs is on the PATH.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

STANDARD = os.environ.get("SAM3DSEGMENT_DICOM_STANDARD", "")
LPS = np.diag([-1.0, -1.0, 1.0])


def _program(name):
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


needs_dcmqi = pytest.mark.skipif(
    _program("tid1500reader") is None, reason="dcmqi is not installed (pip install 'sam3dsegment[interop]')"
)
needs_validator = pytest.mark.skipif(
    not STANDARD or _program("validate_iods") is None,
    reason="SAM3DSEGMENT_DICOM_STANDARD names no folder of the DICOM standard, or dicom-validator is not installed",
)


def _run(name, *arguments):
    return subprocess.run(
        [_program(name), *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )


def complaints(*paths):
    """What dicom-validator has against files, one line each; empty where it has read them all and found no error."""
    # It looks for the newest edition online but for "local", which is the newest one in the folder.
    done = _run("validate_iods", *paths, "--standard-path", STANDARD, "--edition", "local")
    lines = [line for line in done.stdout.splitlines() if line.strip(" =")]
    read = [line for line in lines if line.startswith(("Using", "Validating", "SOP class"))]
    assert sum(line.startswith("SOP class") for line in read) == len(paths), done.stdout + done.stderr
    return [line for line in lines if line not in read]


def segments_by_dcmqi(path, folder):
    """Each segment of a SEG by its label: the places of its voxels' centers (n, 3), RAS mm."""
    folder.mkdir()
    done = _run("segimage2itkimage", "--inputDICOM", path, "--outputDirectory", folder, "-t", "nrrd")
    assert done.returncode == 0, done.stdout + done.stderr
    described = json.loads((folder / "meta.json").read_text())["segmentAttributes"]
    return {
        segment["SegmentLabel"]: _places(sitk.ReadImage(str(folder / f"{segment['labelID']}.nrrd")))
        for group in described
        for segment in group
    }


def measured_by_dcmqi(path, output):
    """A report's numbers: (tracking identifier, quantity, derivation) -> (value, unit)."""
    done = _run("tid1500reader", "--inputDICOM", path, "--outputMetadata", output)
    assert done.returncode == 0, done.stdout + done.stderr
    return {
        (group["TrackingIdentifier"], item["quantity"]["CodeMeaning"], _meaning(item)): (
            float(item["value"]),
            item["units"]["CodeValue"],
        )
        for group in json.loads(output.read_text())["Measurements"]
        for item in group["measurementItems"]
    }


def _meaning(item):
    return item.get("derivationModifier", {}).get("CodeMeaning", "")


def _places(image):
    ijk = np.argwhere(sitk.GetArrayViewFromImage(image) > 0)[:, ::-1]
    axes = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    return (ijk @ axes.T + image.GetOrigin()) @ LPS
