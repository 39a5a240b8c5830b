"""What is fuzzed: each function takes a generator and a folder, and does one case.

A case is refused by a `SAM3DError` or done; whatever else it raises, and an answer that contradicts what it was asked,
is a find.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from safetensors.torch import save_file
from support.scenes import BrightnessModel, oblique_grid, spheres

from Fuzz.mutations import spoiled, spoiled_text
from inference_core.engine.mask_composition import MaskOptions
from inference_core.engine.session import Session
from inference_core.geometry.box import Box3D
from inference_core.geometry.volume import Volume
from inference_core.io.dicom_writer import write_dicom_series
from inference_core.io.files import read_volume, write_labels
from inference_core.io.prompts_json import prompts_as_json, read_prompts
from inference_core.models.registry import all_specs, build_model
from inference_core.models.weights import load_state_dict
from inference_core.prompts.prompt_set import BoxPrompt, Click, Prompt, PromptSet

Fuzzer = Callable[[np.random.Generator, Path], None]
_KINDS = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".seg.nrrd")
_NUMBERS = (0.0, -0.0, 1.0, -1e-9, 1e-300, 1e300, -1e300, 5e6, float("nan"), float("inf"), None, "x", True, 10**400)


def image_bytes(rng: np.random.Generator, folder: Path) -> None:
    """An image file of every kind with some bytes spoiled."""
    path = _image(rng, folder)
    path.write_bytes(spoiled(path.read_bytes(), rng))
    _check_volume(read_volume(path))


def image_headers(rng: np.random.Generator, folder: Path) -> None:
    """An NRRD or MetaImage file with its header's lines spoiled."""
    path = _image(rng, folder, kinds=(".nrrd", ".mha", ".mhd"))
    mark = b"\n\n" if path.suffix == ".nrrd" else b"LOCAL\n"
    head, found, data = path.read_bytes().partition(mark)
    text = spoiled_text((head + found).decode("latin-1"), rng)
    path.write_bytes(text.encode("utf-8", "replace") + (b"\n" if path.suffix == ".nrrd" else b"") + data)
    _check_volume(read_volume(path))


def dicom_bytes(rng: np.random.Generator, folder: Path) -> None:
    """A series with one slice spoiled."""
    write_dicom_series(folder / "series", _voxels(rng, (6, 5, 4)), _small_grid(rng, (6, 5, 4)))
    slices = sorted((folder / "series").iterdir())
    path = slices[int(rng.integers(0, len(slices)))]
    path.write_bytes(spoiled(path.read_bytes(), rng))
    _check_volume(read_volume(folder / "series"))


def prompt_files(rng: np.random.Generator, folder: Path) -> None:
    """A prompt file with its text or its values spoiled; what is read can be written and read again."""
    path = folder / "prompts.json"
    content = json.loads(prompts_as_json(PromptSet(_prompts(rng, oblique_grid(7, 1)))))
    if rng.random() < 0.5 and content["prompts"]:
        entry = content["prompts"][int(rng.integers(0, len(content["prompts"])))]
        entry[str(rng.choice([*entry]))] = _number(rng)
    data = json.dumps(content).encode()
    path.write_bytes(spoiled(data, rng) if rng.random() < 0.5 else data)
    read = read_prompts(path).prompts
    path.write_text(prompts_as_json(read), encoding="utf-8")
    if read_prompts(path).prompts != read:
        raise AssertionError("prompts that were written are read as others")


def prompts(rng: np.random.Generator, folder: Path) -> None:
    """Prompts with wild numbers, and sessions of many: the last click on a voxel is obeyed, and undo is exact."""
    grid = oblique_grid(int(rng.integers(0, 48)), int(rng.integers(0, 3)), size_mm=float(rng.uniform(8, 40)))
    volume = Volume(spheres(grid, [(grid.center_ras, 8.0)]), grid)
    given = (*_prompts(rng, grid), *([_wild(rng)] if rng.random() < 0.2 else []))
    options = MaskOptions(threshold=_number(rng) if rng.random() < 0.2 else 0.0, smoothing_mm=float(rng.choice([0, 2])))
    session = Session(volume, BrightnessModel(bias=float(rng.choice([-9, 0, 9]))), refine=bool(rng.integers(0, 2)))
    first = session.predict(PromptSet(given), options=options).mask.on(grid.shape)
    session.predict(PromptSet(given).with_(Click(tuple(grid.center_ras))), options=options)
    again = session.predict(PromptSet(given), options=options).mask.on(grid.shape)
    if not np.array_equal(first, again):
        raise AssertionError("undo gave another mask")
    last = {grid.voxel_of(click.ras): click.positive for click in PromptSet(given).clicks}
    spilled = [voxel for voxel, positive in last.items() if not positive and first[voxel]]
    if spilled:
        raise AssertionError(f"background clicks lie in the mask: {spilled}")


def weights_bytes(rng: np.random.Generator, folder: Path) -> None:
    """A weights file of either kind with some bytes spoiled."""
    path = _weights(rng, folder, _state(rng))
    path.write_bytes(spoiled(path.read_bytes(), rng))
    _check_state(load_state_dict(path))


def weights_content(rng: np.random.Generator, folder: Path) -> None:
    """A sound file with odd content: wrappers, tensors of odd kinds, numbers that are none, other compression."""
    state = _state(rng)
    key = str(rng.choice([*state]))
    odd = [
        torch.full((2,), float("nan")),
        torch.eye(3).to_sparse(),
        torch.zeros(1).expand(10**9),
        torch.zeros(0),
        torch.zeros(2, dtype=torch.complex64),
        torch.zeros(2, device="meta"),
        np.zeros(3),
        None,
        [state],
    ]
    if rng.random() < 0.7:
        state[key] = odd[int(rng.integers(0, len(odd)))]
    content: object = state
    for _ in range(int(rng.integers(0, 4))):
        content = {str(rng.choice(["model", "net", "state_dict", "network", "epoch", "encoder_dict"])): content}
    if isinstance(content, dict) and rng.random() < 0.2:
        content["model"] = content
    torch.save(content, path := folder / "weights.pth")
    if rng.random() < 0.2:
        _repack(path)
    _check_state(load_state_dict(path))


def model_weights(rng: np.random.Generator, folder: Path) -> None:
    """A real file of a small network, with a tensor's shape, name or values changed, for any of the models."""
    root = Path(__file__).parents[1] / "Data"
    files = sorted(path for path in root.rglob("*.safetensors") if path.stat().st_size < 2_000_000)
    state = load_state_dict(files[int(rng.integers(0, len(files)))])
    for _ in range(int(rng.integers(0, 3))):
        key = str(rng.choice([*state]))
        value = state.pop(key)
        kind = rng.integers(0, 4)
        if kind == 0:
            state[key] = torch.zeros([int(n) for n in rng.integers(1, 7, size=int(rng.integers(0, 5)))])
        elif kind == 1:
            state[key[:-2] or "x"] = value
        elif kind == 2:
            state[key] = value.flatten()[:1].reshape([1] * max(1, value.ndim)).repeat([2] * max(1, value.ndim))
    path = folder / "weights.safetensors"
    save_file({key: value.contiguous().clone() for key, value in state.items()}, path)
    specs = all_specs()
    build_model(specs[int(rng.integers(0, len(specs)))], weights=path, base=_base(rng, files), device="cpu")


FUZZERS: dict[str, Fuzzer] = {
    fuzzer.__name__: fuzzer
    for fuzzer in (image_bytes, image_headers, dicom_bytes, prompt_files, prompts, weights_bytes, weights_content,
                   model_weights)
}  # fmt: skip


def _base(rng: np.random.Generator, files: list[Path]) -> Path | None:
    return None if rng.random() < 0.3 else files[int(rng.integers(0, len(files)))]


def _voxels(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    return rng.integers(-1000, 3000, size=shape).astype(np.int16)


def _small_grid(rng: np.random.Generator, shape: tuple[int, int, int]):
    from inference_core.geometry.grid import Grid

    return Grid(shape, oblique_grid(int(rng.integers(0, 48)), int(rng.integers(0, 3))).affine)


def _image(rng: np.random.Generator, folder: Path, *, kinds: tuple[str, ...] = _KINDS) -> Path:
    kind = kinds[int(rng.integers(0, len(kinds)))]
    path, shape = folder / f"image{kind}", (6, 5, 4)
    if kind == ".seg.nrrd":
        write_labels(path, _voxels(rng, shape) > 0, _small_grid(rng, shape))
    else:
        image = sitk.GetImageFromArray(_voxels(rng, shape))
        image.SetSpacing([0.5, 0.7, 3.0])
        sitk.WriteImage(image, str(path), bool(rng.integers(0, 2)))
    return path


def _check_volume(volume: Volume) -> None:
    if volume.array.shape != volume.grid.shape or not np.isfinite(volume.grid.affine).all():
        raise AssertionError(f"a volume that contradicts itself was read: {volume.array.shape}, {volume.grid}")


def _check_state(state: dict[str, torch.Tensor]) -> None:
    if not state or not all(torch.isfinite(value.float()).all() for value in state.values()):
        raise AssertionError("weights that are none were accepted")


def _number(rng: np.random.Generator):
    return _NUMBERS[int(rng.integers(0, len(_NUMBERS)))]


def _prompts(rng: np.random.Generator, grid) -> tuple[Prompt, ...]:
    """Prompts on a grid, some of them upon each other."""
    made: list[Prompt] = []
    for _ in range(int(rng.integers(1, 8))):
        place = grid.to_ras(rng.uniform(-0.4, np.asarray(grid.shape) - 0.6))
        if made and rng.random() < 0.2:
            place = np.asarray(made[0].ras if isinstance(made[0], Click) else made[0].box.center)
        if rng.random() < 0.2:
            made.append(BoxPrompt(Box3D(place, grid.directions, rng.uniform(0.01, 30, 3))))
        else:
            made.append(Click(tuple(place), bool(rng.random() < 0.6), 5.0 if rng.random() < 0.2 else None))
    return tuple(made)


def _wild(rng: np.random.Generator) -> Prompt:
    numbers = [_number(rng) for _ in range(6)]
    if rng.random() < 0.5:
        return Click(tuple(numbers[:3]), _number(rng), _number(rng))
    return BoxPrompt(Box3D(numbers[:3], np.eye(3), numbers[3:]))


def _state(rng: np.random.Generator) -> dict[str, torch.Tensor]:
    kinds = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64]
    return {
        f"layer.{n}.weight": torch.from_numpy(rng.normal(size=(3, 4))).to(kinds[int(rng.integers(0, len(kinds)))])
        for n in range(int(rng.integers(1, 6)))
    }


def _weights(rng: np.random.Generator, folder: Path, state: dict[str, torch.Tensor]) -> Path:
    if rng.random() < 0.4:
        save_file(state, path := folder / "weights.safetensors")
    else:
        path = folder / "weights.pth"
        torch.save(state, path, _use_new_zipfile_serialization=bool(rng.random() < 0.7))
    return path


def _repack(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
