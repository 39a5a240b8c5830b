"""`followup`: the lesions of an earlier visit found again at a later one, and what became of them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference_core.cli.given_masks import labels_on
from inference_core.cli.loading import find_model, load, model_files
from inference_core.cli.measure import unit_of
from inference_core.cli.pages import add_report_option, check_page, made_by, page_content, pictures_of
from inference_core.cli.parsing import UsageError, add_json_option, add_model_options, positive, text_file
from inference_core.cli.reporting import Progress, check_inputs_are_kept, check_outputs, json_text, say, staged, table

if TYPE_CHECKING:
    from inference_core.followup.registration import Alignment
    from inference_core.followup.visits import Later
    from inference_core.geometry.grid import Grid
    from inference_core.geometry.mask import Mask
    from inference_core.geometry.volume import Volume
    from inference_core.measures.change import Change, Lesion
    from inference_core.measures.report_page import StudyReport

NAME = "followup"
SUMMARY = "find the lesions of an earlier visit again, and compare: mm, ml, percent, RECIST"
DESCRIPTION = """Align two visits of one patient, carry each lesion over, segment it anew (its mask is not copied) and
compare: lesions are paired by name, the change is given in mm, ml and percent, with the sum of diameters
and the RECIST 1.1 category. With --after-mask nothing is segmented: two masks are compared. What a carried
lesion should be doubted for is said; run again with --after-mask and a corrected mask, or with --vanished."""
EXAMPLES = """examples:
  sam3dsegment followup jan/ jan.seg.nrrd jun/ --output jun.seg.nrrd --csv change.csv --report change.html
  sam3dsegment followup jan/ jan.seg.nrrd jun/ --output jun.seg.nrrd --align none --node "node left"
  sam3dsegment followup jan/ jan.seg.nrrd jun/ --output jun.seg.nrrd --transform jan_to_jun.h5
  sam3dsegment followup jan/ jan.seg.nrrd jun/ --after-mask jun.seg.nrrd --json change.json --smallest-sum 41
"""


@dataclass(frozen=True, eq=False)
class _Visit:
    """An image and the masks of its lesions by their names."""

    volume: Volume
    unit: str
    masks: dict[str, Mask]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "before", type=Path, metavar="BEFORE", help="the earlier image: a DICOM folder or an image file"
    )
    parser.add_argument("mask", type=Path, metavar="MASK", help="its lesions: a mask or label map on its voxels")
    parser.add_argument("after", type=Path, metavar="AFTER", help="the later image")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--output", type=Path, metavar="OUT", help="the later masks, .seg.nrrd, .nrrd, .nii.gz or .nii")
    target.add_argument("--after-mask", type=Path, metavar="MASK", help="compare with these masks; segment nothing")
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--align", default="rigid", metavar="rigid|affine|none|FILE",
        help="how the earlier image is brought onto the later one (default rigid); none: they share a frame of "
        "reference; FILE: a transform of ITK's, found with the earlier image fixed",
    )  # fmt: skip
    way.add_argument(
        "--transform", type=Path, metavar="FILE",
        help="a transform that moves the earlier image onto the later one, as Slicer saves it (.tfm, .h5, .txt)",
    )  # fmt: skip
    names: dict[str, Any] = {"action": "append", "default": [], "metavar": "NAME"}
    parser.add_argument("--node", **names, help="this lesion is a lymph node, of which the short axis counts")
    parser.add_argument("--non-target", **names, help="this lesion does not count in the sum of diameters")
    parser.add_argument("--vanished", **names, help="you have looked: this lesion vanished; segment it not")
    parser.add_argument(
        "--smallest-sum", type=positive, metavar="MM", help="the smallest sum of diameters at any visit so far"
    )
    parser.add_argument("--csv", type=text_file, metavar="FILE", help="write the change to a CSV file as well")
    add_report_option(parser, holds="with tables and a picture a lesion")
    add_model_options(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> None:
    """Follow, write all files or none, and print the change.

    Raises:
        SAM3DError: something given cannot be used; nothing has been written then.
    """
    _check(options)
    with Progress() as progress:
        progress.show(f"reading {options.before}")
        before = _visit(options.before, options.mask)
        _check_names(options, before.masks)
        check_page(options.report, words=before.masks)
        matrix_note = ""
        later: list[Later] = []
        if options.after_mask is not None:
            after, made = _visit(options.after, options.after_mask), ["Masks as they were given"]
        else:
            after, later, matrix_note, made = _followed(options, before, progress)
    lesions = _lesions(options, after)
    change = _change(options, before, lesions, not_measured=[lesion.name for lesion in later if not lesion.measured])
    doubts = [note for note in (matrix_note, *(lesion.doubt for lesion in later)) if note]
    _write(options, after, lesions, change, doubts=doubts, made_by=made)
    from inference_core.measures.change_table import TITLES, change_rows, conclusion

    for doubt in doubts:
        say(doubt)
    print(table([TITLES, *change_rows(change)]))
    print(conclusion(change))


def _check(options: argparse.Namespace) -> None:
    """Refuse early what cannot be written, and images of two patients."""
    from inference_core.io.companions import files_read
    from inference_core.io.files import check_labels_path

    check_outputs(options.output, options.csv, options.report, options.json)
    if options.output is not None:
        check_labels_path(options.output)
    outputs = (options.output, options.csv, options.report, options.json)
    transform = Path(options.align) if options.transform is None else options.transform
    given = (options.mask, options.after_mask, transform, *model_files(options))
    check_inputs_are_kept(outputs, [*files_read(options.before), *files_read(options.after), *given])
    check_page(options.report)
    check_one_patient((options.before, options.after))


def check_one_patient(images: Sequence[Path]) -> None:
    """Refuse images of two patients, as far as their DICOM files say whose they are.

    Raises:
        UsageError: they are of two.
    """
    from inference_core.io.dicom import find_source
    from inference_core.io.files import is_dicom_source
    from inference_core.io.segment_names import patient_id

    known = {patient_id(find_source(path).paths) for path in images if is_dicom_source(path)} - {""}
    if len(known) > 1:
        raise UsageError("The images are of two patients, as their DICOM files say; give those of one patient.")


def _check_names(options: argparse.Namespace, masks: dict[str, Mask]) -> None:
    for name in (*options.node, *options.non_target, *options.vanished):
        if name not in masks:
            there = ", ".join(f"'{known}'" for known in masks)
            raise UsageError(f"There is no lesion '{name}' at the earlier visit; there are {there}.")


def _visit(image: Path, path: Path) -> _Visit:
    from inference_core.io.files import read_volume

    volume = read_volume(image)
    return _Visit(volume, unit_of(image), masks_by_name(path, volume))


def masks_by_name(path: Path, volume: Volume) -> dict[str, Mask]:
    """The masks in a file on a volume's voxels: of a .seg.nrrd by the segments' names, else "lesion" and its number.

    Raises:
        VolumeError: the file cannot be read, lies beside the volume or is empty.
        UsageError: two segments have one name.
    """
    return masks_of(*named_labels(path, volume))


def masks_of(labels: Volume, names: Mapping[int, str]) -> dict[str, Mask]:
    """The masks of a label map, by the names of its labels."""
    from inference_core.geometry.mask import Mask

    return {name: Mask.of(labels.array == value) for value, name in names.items()}


def named_labels(path: Path, volume: Volume) -> tuple[Volume, dict[int, str]]:
    """The label map in a file on a volume's voxels, and what each of its labels is called, as for `masks_by_name`.

    Raises:
        VolumeError, UsageError: as there.
    """
    import numpy as np

    from inference_core.errors import VolumeError
    from inference_core.io.segment_names import segment_names

    labels, names = labels_on(path, volume), segment_names(path)
    values = [int(value) for value in np.unique(labels.array) if value != 0]
    if not values:
        raise VolumeError(f"'{path.name}' is empty: it holds no lesion; choose another mask.")
    called = {value: names.get(value, f"lesion {value}") for value in values}
    if len(set(called.values())) < len(called):
        raise UsageError(f"'{path.name}' has two segments of one name; give each a name of its own.")
    return labels, called


def _followed(
    options: argparse.Namespace, before: _Visit, progress: Progress
) -> tuple[_Visit, list[Later], str, list[str]]:
    """The later visit as it was found, what is to be said of each lesion and of the alignment, and what made it."""
    from inference_core.engine.session import Session
    from inference_core.followup.carrying import prompts_for
    from inference_core.followup.visits import Earlier, follow
    from inference_core.io.files import read_volume

    spec, weights = find_model(options.model, options.weights)
    progress.show(f"reading {options.after}")
    volume = read_volume(options.after)
    progress.show("aligning the images")
    found = _aligned(options, before.volume, volume)
    wanted = [
        Earlier(name, prompts_for(mask, before.volume.grid), mask)
        for name, mask in before.masks.items() if name not in options.vanished
    ]  # fmt: skip
    progress.show(f"loading {spec.title}")
    session = Session(volume, load(spec, weights, options))
    later = follow(
        wanted, before=before.volume, session=session, way=found.way,
        tell=lambda name: progress.show(f"segmenting {name}"),
    )  # fmt: skip
    model, package = made_by(spec.name, weights)
    made = [model, f"{package}; alignment: {found.how}, moved by {found.moved_mm:.1f} mm"]
    masks = {lesion.name: lesion.mask for lesion in later}
    return _Visit(volume, unit_of(options.after), masks), later, found.caution, made


def _aligned(options: argparse.Namespace, before: Volume, after: Volume) -> Alignment:
    from inference_core.followup.registration import AFFINE, NONE, RIGID, align, given, read_alignment

    if options.transform is not None:
        return given(read_alignment(options.transform, moves_the_image=True), before, after)
    if options.align in (RIGID, AFFINE, NONE):
        return align(before, after, how=options.align)
    return given(read_alignment(options.align), before, after)


def _lesions(options: argparse.Namespace, visit: _Visit) -> list[Lesion]:
    from inference_core.measures.change import Lesion
    from inference_core.measures.measurements import measure

    return [
        Lesion(
            name, measure(mask, visit.volume, unit=visit.unit),
            target=name not in options.non_target, node=name in options.node,
        )
        for name, mask in visit.masks.items()
    ]  # fmt: skip


def _change(
    options: argparse.Namespace, before: _Visit, after: Sequence[Lesion], *, not_measured: Sequence[str]
) -> Change:
    from inference_core.measures.change import compare

    return compare(_lesions(options, before), after, smallest_sum_mm=options.smallest_sum, not_measured=not_measured)


def _write(
    options: argparse.Namespace, after: _Visit, lesions: Sequence[Lesion], change: Change,
    *, doubts: Sequence[str], made_by: Sequence[str],
) -> None:  # fmt: skip
    """All files that were asked for, or none."""
    from inference_core.io.files import write_labels
    from inference_core.measures.change_table import change_csv

    content = change.as_json() | {"look_at": list(doubts), "made_by": list(made_by)}
    with ExitStack() as stack:
        stack.enter_context(staged(options.csv, change_csv(change).rstrip("\n")))
        stack.enter_context(staged(options.json, json_text(content)))
        if options.report is not None:
            page = page_content(options.report, _study(after, lesions, change, doubts=doubts, made_by=made_by))
            stack.enter_context(staged(options.report, page))
        if options.output is not None:
            names = list(after.masks)
            labels = labels_of(list(after.masks.values()), after.volume.grid)
            write_labels(options.output, labels, after.volume.grid, names=names)


def labels_of(masks: Sequence[Mask], grid: Grid) -> Any:
    """Masks as one label map (i, j, k), unsigned, in their order from 1 on; a later one covers an earlier one."""
    import numpy as np

    labels = np.zeros(grid.shape, dtype=np.min_scalar_type(len(masks)))
    for value, mask in enumerate(masks, start=1):
        labels[mask.box.slices()][mask.array] = value
    return labels


def _study(
    after: _Visit, lesions: Sequence[Lesion], change: Change, *, doubts: Sequence[str], made_by: Sequence[str]
) -> StudyReport:
    from inference_core.measures.lesion_table import Entry, LesionTable
    from inference_core.measures.report_page import StudyReport

    there = [lesion for lesion in lesions if lesion.present]
    pictures = pictures_of(after.volume, after.masks, {lesion.name: lesion.measurements for lesion in there})
    entries = LesionTable(tuple(Entry(lesion) for lesion in there), is_baseline=False)
    return StudyReport(entries, pictures, made_by, change, cautions=doubts)
