"""What opening a model costs: CPU seconds, and the most memory beside its weights, on random files of full size.

The files are those that a family's authors write, names and wrapping included, in a temporary folder that is deleted
afterwards; they have just been written, so that the disk is not what is measured.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import torch
from torch import Tensor, nn

from inference_core.benchmark.comparison import in_a_process, randomly_drawn
from inference_core.benchmark.reference_ma_sam import random_files
from inference_core.benchmark.timing import memory_in_use, peak_memory_bytes, restart_peak
from inference_core.errors import ModelError
from inference_core.models.blocks.sam_network import SamNetwork
from inference_core.models.blocks.sam_sizes import SamSizes
from inference_core.models.interface import Model
from inference_core.models.medical_sam_adapter.network import AdaptedSizes, adapted_network
from inference_core.models.registry import build_model, get_spec
from inference_core.models.sam3d_adapter.network import Sam3DAdapterConfig, Sam3DAdapterNetwork
from inference_core.models.sam3d_adapter.shifted_cube_attention import shifted_mask
from inference_core.models.sam_med3d.network import SamMed3DConfig, SamMed3DNetwork
from inference_core.models.store import FOLDER_VARIABLE

Files = tuple[dict[str, Any], dict[str, Tensor]]
"""What a model's file holds, and its base's; the latter empty where there is none."""
_HUGE: dict[str, Any] = {"width": 1280, "depth": 32, "heads": 16, "global_blocks": (7, 15, 23, 31)}
_LARGE: dict[str, Any] = {"width": 1024, "depth": 24, "heads": 16, "global_blocks": (5, 11, 17, 23)}


@dataclass(frozen=True)
class OpeningCost:
    """CPU seconds of opening on one thread, the bytes of the network's weights, and by how many memory rose at most."""

    seconds: float
    weights: int
    peak: int

    @property
    def share(self) -> float:
        """The peak over the weights."""
        return self.peak / self.weights


def opening_cost(model: str, *, repeats: int = 3) -> OpeningCost:
    """Open a model's random file in new processes; the least seconds and the largest peak of them.

    Raises:
        ModelError: no files of this model are made here.
        DeviceError: a process was stopped, as it is when the memory runs out.
    """
    if model not in _FILES:
        raise ModelError(f"Opening is measured of {', '.join(_FILES)}, not of '{model}'; choose one of them.")
    with TemporaryDirectory() as folder:
        in_a_process("file", partial(write_files, model=model, folder=Path(folder)))
        costs = [in_a_process("opened", partial(_measure, model=model, folder=Path(folder))) for _ in range(repeats)]
    return OpeningCost(min(c.seconds for c in costs), costs[0].weights, max(c.peak for c in costs))


def write_files(_form: str, *, model: str, folder: Path) -> None:
    """A model's random file, and the one of its base where it has one, in a folder."""
    content, base = _FILES[model]()
    torch.save(content, folder / "weights.pth")
    if base:
        torch.save(base, folder / "base.pth")


def _measure(_form: str, *, model: str, folder: Path) -> OpeningCost:
    base = folder / "base.pth"
    # What an earlier opening found out about the same file would spare this one its check.
    os.environ[FOLDER_VARIABLE] = mkdtemp(dir=folder)
    # What is imported at the first use is not the model's.
    import_module(get_spec(model).builder.partition(":")[0])
    nn.Linear(8, 8)(torch.zeros(1, 8))
    torch.set_num_threads(1)
    gc.collect()
    before = memory_in_use()
    restart_peak()
    began = time.process_time()
    opened = build_model(model, weights=folder / "weights.pth", device="cpu", base=base if base.is_file() else None)
    seconds = time.process_time() - began
    return OpeningCost(seconds, _weights_of(opened), (peak_memory_bytes() or 0) - before)


def _weights_of(opened: Model) -> int:
    network = getattr(opened, "network")  # noqa: B009 - the interface does not name it, and every family has one
    return sum(value.nbytes for value in network.state_dict().values())


def _drawn(make: Callable[[], nn.Module]) -> dict[str, Tensor]:
    return {key: value.detach() for key, value in randomly_drawn(make, seed=0).state_dict().items()}


def _sam(**sizes: Any) -> Files:
    return _drawn(lambda: SamNetwork(SamSizes(**sizes))), {}


def _adapted() -> Files:
    """As the training script saves it, the optimizer's two moments beside the weights."""
    state = _drawn(lambda: adapted_network(AdaptedSizes(SamSizes(), SamSizes().grid, residual=False)))
    moments = {n: {"exp_avg": value.clone(), "exp_avg_sq": value.clone()} for n, value in enumerate(state.values())}
    return {"epoch": 9, "state_dict": state, "optimizer": {"state": moments}}, {}


def _stack(**sizes: Any) -> Files:
    """Over a base that has a prompt encoder and decoder as well, as SAM's own file does."""
    sam = SamSizes(**sizes, mask_tokens=13)
    adapted, encoder = random_files(sam, adapter_width=384, rank=32)
    rest = {key: value for key, value in adapted.items() if key.startswith(("prompt_encoder.", "mask_decoder."))}
    return adapted, {**rest, **encoder}


def _tumor() -> Files:
    config = Sam3DAdapterConfig()
    network = randomly_drawn(lambda: Sam3DAdapterNetwork(config), seed=0)
    encoder = {key: value.detach() for key, value in network.encoder.state_dict().items()}
    for index in range(0, config.depth, 2):
        encoder[f"blocks.{index}.attn_mask"] = -100.0 * shifted_mask(config.grid, config.cube).float()
    # As trained ones, so that the file is tried on a synthetic lesion as a published one is.
    encoder["depth_embed"] = 1.1 * encoder["depth_embed"]
    prompts = [{key: value.detach() for key, value in network.prompt_encoder.state_dict().items()} for _ in range(4)]
    trained = "transformer.layers.0.norm1.weight"
    prompts[3][trained] = 1.1 * prompts[3][trained]
    return {"encoder_dict": encoder, "feature_dict": prompts, "decoder_dict": network.decoder.state_dict()}, {}


_FILES: dict[str, Callable[[], Files]] = {
    "sam": _sam,
    "sam_vit_l": partial(_sam, **_LARGE),
    "sam_vit_h": partial(_sam, **_HUGE),
    "sam_med3d": lambda: (_drawn(lambda: SamMed3DNetwork(SamMed3DConfig())), {}),
    "medical_sam_adapter": _adapted,
    "medical_sam_adapter_3d": _adapted,
    "ma_sam": partial(_stack, **_HUGE),
    "sam3d_adapter": _tumor,
}
