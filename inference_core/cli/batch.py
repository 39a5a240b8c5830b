"""`batch`: segment many images, resumable, shared out among processes, one JSON line a case."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from inference_core.cli.loading import find_model, load
from inference_core.cli.parsing import UsageError, add_model_options
from inference_core.cli.reporting import Progress, check_inputs_are_kept, say
from inference_core.cli.sharding import Share
from inference_core.errors import SAM3DError
from inference_core.io.atomic import make_folder
from inference_core.models.registry import get_spec

if TYPE_CHECKING:
    from inference_core.models.interface import Model

NAME = "batch"
SUMMARY = "segment many images, by prompt files or automatically"
DESCRIPTION = """Segment every image that a pattern finds, by the prompt file of the same place in sorted order, or by a
model that needs none. A run that ended goes on where it was; started by torchrun or srun, processes share the cases."""
EXAMPLES = """examples:
  sam3dsegment batch --images 'ct/*.nii.gz' --prompts 'ct/*.prompts.json' --output-dir masks
  sam3dsegment batch --images 'btcv/*' --model ma_sam --weights run --base sam_vit_h_4b8939.pth --output-dir organs
  torchrun --nproc-per-node 2 -m inference_core batch --images 'ct/*.nii.gz' --prompts 'ct/*.json' --output-dir masks

DIR gets a mask for each image, and results-RANK.jsonl with one line for each: image, mask, milliliters and seconds, or
what went wrong. Cases with a line and a mask are not done again; those that failed are.
"""


@dataclass(frozen=True)
class Job:
    """An image, its prompts, and the mask to be."""

    image: Path
    prompts: Path | None
    mask: Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--images", required=True, metavar="GLOB", help="image files or DICOM folders; quote it")
    parser.add_argument("--prompts", metavar="GLOB", help="their prompt files, as many; quote it")
    parser.add_argument("--output-dir", type=Path, required=True, metavar="DIR", help="where masks and results go")
    parser.add_argument(
        "--suffix", choices=(".seg.nrrd", ".nii.gz", ".nrrd"), default=".seg.nrrd", help="of the masks (.seg.nrrd)"
    )
    add_model_options(parser)


def run(options: argparse.Namespace) -> None:
    """Segment all cases of this process that are not done yet.

    Raises:
        SAM3DError: something given cannot be used, or some cases failed, after all others were done.
    """
    spec, weights = find_model(options.model, options.weights)
    if spec.automatic != (options.prompts is None):
        need = "finds its classes by itself; leave out --prompts" if spec.automatic else "needs --prompts"
        raise UsageError(f"{spec.title} {need}.")
    share, jobs = Share.of_environment(), jobs_of(options)
    make_folder(options.output_dir)
    results = options.output_dir / f"results-{share.rank}.jsonl"
    done = done_in(options.output_dir)
    mine = [job for job in share.of(jobs) if not (job.mask.name in done and job.mask.exists())]
    if not mine:
        say(f"All {len(share.of(jobs))} cases are done.")
        return
    model, failed = load(spec, weights, options), 0
    for number, job in enumerate(mine, start=1):
        line = _done(job, model, where=f"[{number}/{len(mine)}] {job.image}")
        failed += "error" in line
        _append(results, line)
    if failed:
        raise SAM3DError(f"{failed} of {len(mine)} cases failed; see the lines above, mend them and run again.")


def jobs_of(options: argparse.Namespace) -> list[Job]:
    """All cases, each with a mask of a name of its own.

    Raises:
        VolumeError: a pattern finds nothing, or there are not as many prompt files as images.
        UsageError: a mask would be written over an image.
    """
    from inference_core.evaluation.cases import found_by, matched_pairs

    if options.prompts is None:
        pairs: Sequence[tuple[Path, Path | None]] = [(path, None) for path in found_by(options.images)]
    else:
        pairs = matched_pairs(options.images, options.prompts, second="prompt file")
    names = _names([image for image, _ in pairs])
    masks = [options.output_dir / f"{name}{options.suffix}" for name in names]
    check_inputs_are_kept(masks, [path for pair in pairs for path in pair])
    return [Job(image, prompts, mask) for (image, prompts), mask in zip(pairs, masks, strict=True)]


def done_in(folder: Path) -> set[str]:
    """The names of masks that some process has finished; a last line that was cut short does not count."""
    return {line["mask"] for path in folder.glob("results-*.jsonl") for line in _lines(path) if "error" not in line}


def _append(path: Path, line: dict[str, Any]) -> None:
    """Add a line, on one of its own even where the last one was cut short."""
    with path.open("ab+") as stream:
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
        cut_short = stream.read(1) not in (b"", b"\n")
        stream.write((("\n" if cut_short else "") + json.dumps(line) + "\n").encode())


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _names(images: Sequence[Path]) -> list[str]:
    """File names without their endings; with their folders' where those alone would clash."""
    plain = [image.name.split(".")[0] or image.name for image in images]
    if len(set(plain)) == len(plain):
        return plain
    long = ["_".join([*image.parts[-3:-1], name]).strip("/_") for image, name in zip(images, plain, strict=True)]
    if len(set(long)) == len(long):
        return long
    return [f"{number:05d}_{name}" for number, name in enumerate(plain)]


def _done(job: Job, model: Model, *, where: str) -> dict[str, Any]:
    """Segment one case; the line that is kept of it."""
    started = perf_counter()
    try:
        with Progress(held=True) as progress:
            progress.show(where)
            volume_ml = _segmented(job, model)
    except (SAM3DError, OSError) as error:
        say(f"{where}: failed. {error}")
        return {"image": str(job.image), "mask": job.mask.name, "error": str(error)}
    seconds = round(perf_counter() - started, 2)
    say(f"{where}: {volume_ml:.1f} ml ({seconds:.1f} s)")
    return {"image": str(job.image), "mask": job.mask.name, "volume_ml": round(volume_ml, 3), "seconds": seconds}


def _segmented(job: Job, model: Model) -> float:
    """Write a case's mask; its milliliters, of all classes together."""
    from inference_core.engine.automatic import segment_automatically
    from inference_core.engine.mask_composition import MaskOptions
    from inference_core.engine.session import Session
    from inference_core.io.files import read_volume, write_labels
    from inference_core.io.prompts_json import read_prompts
    from inference_core.models.interface import automatic, promptable

    volume = read_volume(job.image)
    if job.prompts is None:
        found = segment_automatically(volume, automatic(model))
        write_labels(job.mask, found.labels.array, volume.grid, names=found.classes)
        voxels = int((found.labels.array > 0).sum())
    else:
        saved = read_prompts(job.prompts)
        if saved.model not in (None, model.spec.name) and get_spec(str(saved.model)) != model.spec:
            say(f"'{job.prompts.name}' was made with {saved.model}; it is answered by {model.spec.name}.")
        options = MaskOptions(threshold=saved.threshold or 0.0)
        mask = Session(volume, promptable(model)).predict(saved.prompts, options=options).mask.on(volume.grid.shape)
        write_labels(job.mask, mask, volume.grid, name="segment")
        voxels = int(mask.view(bool).sum())
    return voxels * float(volume.grid.voxel_volume_mm3) / 1000
