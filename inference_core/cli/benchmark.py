"""`benchmark`: seconds a click, peak memory, and what a family's own shortcuts save, on this machine."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference_core.cli.loading import find_model, load
from inference_core.cli.parsing import add_json_option, add_model_options, count
from inference_core.cli.reporting import Progress, check_outputs, say, table, write_json
from inference_core.errors import ModelError
from inference_core.models.registry import get_spec
from inference_core.models.spec import ModelSpec, PromptKind

if TYPE_CHECKING:
    from inference_core.benchmark.comparison import EncoderForms
    from inference_core.models.interface import PromptableModel

NAME = "benchmark"
SUMMARY = "measure speed and memory on this machine"
DESCRIPTION = """Time the first and the further clicks on a synthetic 512 x 512 x 300 CT in memory,
compare a first click on 100 and on 1000 slices, and read the peak memory. For sam, sam_med3d
and medical_sam_adapter (and _3d), compare the encoder's exact shortcuts with the plain form
(random weights: the time does not depend on them); for sam3d_adapter the whole network, which
takes 8 GB of memory and minutes a repeat; for ma_sam one stack of five slices. Clicks are timed
only where a model is installed."""
EXAMPLES = ""

_USUAL, _SHORT, _LONG = 300, 100, 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_model_options(parser)
    parser.add_argument("--repeat", type=count, default=3, metavar="N", help="how often to measure (default 3)")
    parser.add_argument(
        "--opening", action="store_true", help="measure instead what opening the model costs, on random files"
    )
    add_json_option(parser)


def run(options: argparse.Namespace) -> None:
    """Measure, write the JSON file and print a table.

    Raises:
        SAM3DError: the model is unknown, or there is nothing to measure without its weights.
    """
    spec = get_spec(options.model)
    check_outputs(options.json)
    if options.opening:
        _opening(spec, options)
        return
    found = _find(spec, options.weights) if PromptKind.POSITIVE_CLICK in spec.prompt_kinds else None
    from inference_core.benchmark.timing import machine_facts

    content: dict[str, Any] = {"model": spec.name, "machine": machine_facts(), "repeats": options.repeat}
    with Progress() as progress:
        if found is not None:
            progress.show(f"loading {spec.title}")
            from inference_core.models.interface import promptable

            model = load(spec, found, options)
            content |= {"device": model.device, **_clicks(promptable(model), repeats=options.repeat, progress=progress)}
        if spec.name in _OWN:
            progress.show("comparing the encoder's forms")
            content |= _OWN[spec.name](options.repeat)
    if options.json is not None:
        write_json(options.json, content)
    print(table([("what", "measured"), *_rows(content)]))


def _opening(spec: ModelSpec, options: argparse.Namespace) -> None:
    from inference_core.benchmark.opening import opening_cost

    with Progress() as progress:
        progress.show("opening random files of full size")
        cost = opening_cost(spec.name, repeats=options.repeat)
    if options.json is not None:
        write_json(options.json, {"model": spec.name, **asdict(cost), "share": cost.share})
    rows = [
        ("opening", f"{cost.seconds:.2f} s CPU time"),
        ("weights in float32", f"{cost.weights / 1e9:.2f} GB"),
        ("most memory meanwhile", f"{cost.peak / 1e9:.2f} GB, {cost.share:.2f} of the weights"),
    ]
    print(table([("what", "measured"), *rows]))


def _find(spec: ModelSpec, weights: Path | None) -> Path | None:
    try:
        return find_model(spec.name, weights)[1]
    except ModelError as error:
        if weights is not None or spec.name not in _OWN:
            raise
        say(f"Clicks are not timed: {error}")
        return None


def _clicks(model: PromptableModel, *, repeats: int, progress: Progress) -> dict[str, Any]:
    """Seconds on volumes of three lengths; the peak is read before the longest one is made."""
    from inference_core.benchmark.timing import (
        ORGAN_MM,
        clicks_in_sessions,
        first_clicks,
        peak_memory_bytes,
        synthetic_ct,
    )

    progress.show(f"clicking on {_USUAL} slices")
    first, further = clicks_in_sessions(synthetic_ct(_USUAL), model, repeats=repeats)
    progress.show("clicking on a target as large as an organ")
    wide = synthetic_ct(_USUAL, radius_mm=ORGAN_MM)
    wide_first, wide_further = clicks_in_sessions(wide, model, repeats=repeats, radius_mm=ORGAN_MM)
    del wide
    peak = peak_memory_bytes()
    by_length = {}
    for slices in (_SHORT, _LONG):
        progress.show(f"clicking on {slices} slices")
        volume = synthetic_ct(slices)
        by_length[slices] = first_clicks(volume, model, repeats=repeats)
    return {
        "first_click_s": first.as_json(),
        "further_click_s": further.as_json(),
        "wide_first_click_s": wide_first.as_json(),
        "wide_further_click_s": wide_further.as_json(),
        "peak_memory_bytes": peak,
        "first_click_s_by_slices": {str(slices): times.as_json() for slices, times in by_length.items()},
        "first_click_ratio": by_length[_LONG].median / by_length[_SHORT].median,
    }


def _sam_med3d_forms(repeats: int) -> dict[str, Any]:
    from inference_core.benchmark.reference_sam_med3d import compare_forms

    return _as_json(compare_forms(repeats=repeats))


def _sam_forms(repeats: int) -> dict[str, Any]:
    from inference_core.benchmark.reference_sam import compare_forms

    return _as_json(compare_forms(repeats=repeats))


def _adapter_forms(repeats: int, *, slices: int) -> dict[str, Any]:
    """Of ViT-B without relative positions, as all files since January 2024 are: a slice of 1024 pixels or a chunk."""
    from inference_core.benchmark.reference_medical_sam_adapter import compare_forms
    from inference_core.models.blocks.sam_sizes import SamSizes
    from inference_core.models.medical_sam_adapter.network import AdaptedSizes

    sizes = AdaptedSizes(SamSizes(image_size=1024 if slices == 1 else 256), None, residual=True)
    return _as_json(compare_forms(sizes, slices=slices, repeats=repeats))


def _stack_forms(repeats: int) -> dict[str, Any]:
    from inference_core.benchmark.reference_ma_sam import compare_forms

    return _as_json(compare_forms(repeats=repeats))


def _tumor_forms(repeats: int) -> dict[str, Any]:
    from inference_core.benchmark.reference_sam3d_adapter import compare_forms

    forms = compare_forms(repeats=repeats)
    return {
        "network_forms": {
            "weights": "random",
            "shortcut": asdict(forms.fast),
            "plain": asdict(forms.plain),
            "bfloat16": asdict(forms.half),
            "ratio": forms.ratio,
            "further_ratio": forms.further_ratio,
            "largest_difference": forms.largest_difference,
            "bfloat16_difference": forms.half_difference,
            "logit_std": forms.logit_std,
        }
    }


def _as_json(forms: EncoderForms) -> dict[str, Any]:
    return {
        "encoder_forms": {
            "weights": "random",
            "shortcut_cpu_s": forms.shortcut_s,
            "plain_cpu_s": forms.plain_s,
            "bfloat16_cpu_s": forms.half_s,
            "ratio": forms.ratio,
            "largest_difference": forms.largest_difference,
            "bfloat16_difference": forms.half_difference,
            "embedding_std": forms.embedding_std,
            "operations": forms.operations,
            "machine_operations_per_s": forms.machine_rate,
            "least_cpu_s": forms.least_s,
            "shortcut_peak_memory_bytes": forms.shortcut_peak,
            "plain_peak_memory_bytes": forms.plain_peak,
        }
    }


_OWN: dict[str, Callable[[int], dict[str, Any]]] = {
    "sam_med3d": _sam_med3d_forms,
    "sam": _sam_forms,
    "medical_sam_adapter": partial(_adapter_forms, slices=1),
    "medical_sam_adapter_3d": partial(_adapter_forms, slices=8),
    **dict.fromkeys(("ma_sam", "ma_sam_prostate", "ma_sam_box"), _stack_forms),
    "sam3d_adapter": _tumor_forms,
}
"""What only one family has to show."""


def _rows(content: dict[str, Any]) -> list[tuple[str, str]]:
    machine = content["machine"]
    rows = [("machine", f"{machine['cpus']} CPUs, {machine['threads']} threads, torch {machine['torch']}")]
    if "first_click_s" in content:
        first, further, peak = content["first_click_s"], content["further_click_s"], content["peak_memory_bytes"]
        rows += [
            ("device", content["device"]),
            (f"first click, {_USUAL} slices", _times(first)),
            ("further click", _times(further)),
            ("first click, target of 0.9 l", _times(content["wide_first_click_s"])),
            ("further click, target of 0.9 l", _times(content["wide_further_click_s"])),
            (f"peak memory, {_USUAL} slices", "unknown" if peak is None else f"{peak / 1e9:.2f} GB"),
            *[(f"first click, {n} slices", _times(times)) for n, times in content["first_click_s_by_slices"].items()],
            (f"ratio {_LONG} to {_SHORT} slices", f"{content['first_click_ratio']:.2f}"),
        ]
    if "encoder_forms" in content:
        forms = content["encoder_forms"]
        rows += [
            ("encoder, exact shortcut", f"{forms['shortcut_cpu_s']:.1f} s CPU time (random weights)"),
            ("encoder, plain form", f"{forms['plain_cpu_s']:.1f} s CPU time"),
            ("share of the plain form", f"{forms['ratio']:.2f}"),
            ("largest difference", f"{forms['largest_difference']:.1e} of std {forms['embedding_std']:.2g}"),
            ("in bfloat16", _in_half(forms["bfloat16_cpu_s"], forms["bfloat16_difference"] / forms["embedding_std"])),
        ]
        if forms["least_cpu_s"]:
            rows += [
                ("large matrix products here", f"{forms['machine_operations_per_s'] / 1e9:.0f} GFLOP/s on one thread"),
                ("the encoder at that rate", _at_best(forms["least_cpu_s"], forms["shortcut_cpu_s"])),
            ]
        peak, plain_peak = forms["shortcut_peak_memory_bytes"], forms["plain_peak_memory_bytes"]
        if peak and plain_peak:
            rows.append(("peak memory", f"{peak / 1e9:.2f} GB; of the plain form {plain_peak / 1e9:.2f} GB"))
    return rows + (_network_rows(content["network_forms"]) if "network_forms" in content else [])


def _network_rows(forms: dict[str, Any]) -> list[tuple[str, str]]:
    fast, plain = forms["shortcut"], forms["plain"]
    rows = [
        ("whole first click", f"{fast['first_s']:.1f} s CPU time (random weights, one thread)"),
        ("of the plain form", f"{plain['first_s']:.1f} s CPU time"),
        ("share of the plain form", f"{forms['ratio']:.2f}"),
        ("further click", f"{fast['further_s']:.1f} s CPU time; of the plain form {plain['further_s']:.1f} s"),
        ("share of the plain form", f"{forms['further_ratio']:.2f}"),
        ("largest difference", f"{forms['largest_difference']:.1e} of std {forms['logit_std']:.2g}"),
        ("in bfloat16", _in_half(forms["bfloat16"]["first_s"], forms["bfloat16_difference"] / forms["logit_std"])),
    ]
    if fast["peak"] and plain["peak"]:
        rows.append(("peak memory", f"{fast['peak'] / 1e9:.2f} GB; of the plain form {plain['peak'] / 1e9:.2f} GB"))
    return rows


def _at_best(least_s: float, seconds: float) -> str:
    return f"{least_s:.1f} s CPU time, of which the shortcut is {seconds / least_s:.2f}"


def _in_half(seconds: float, share: float) -> str:
    return f"{seconds:.1f} s CPU time; differs by {share:.1%} of the standard deviation (root mean square)"


def _times(times: dict[str, Any]) -> str:
    return f"{times['median']:.2f} s median, {times['worst']:.2f} s worst"
