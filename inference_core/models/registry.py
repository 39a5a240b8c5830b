"""The list of models, and the one way to load one. Importing this file loads no torch."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference_core.errors import ModelError
from inference_core.models.spec import (
    Checkpoint,
    ClickFrame,
    HounsfieldScale,
    IntensityRule,
    Layout,
    ModelSpec,
    Padding,
    PromptKind,
    WindowSpec,
)

if TYPE_CHECKING:
    from inference_core.models.interface import AutomaticModel, PromptableModel

_CLICKS = frozenset({PromptKind.POSITIVE_CLICK, PromptKind.NEGATIVE_CLICK})


def _sam(name: str, title: str, *, filename: str, size_bytes: int, sha256: str) -> ModelSpec:
    return ModelSpec(
        name=name,
        title=title,
        builder="inference_core.models.sam:build",
        window=WindowSpec((1024, 1024, 1), (), Padding.ZERO, layout=Layout.SLICES),
        intensity=IntensityRule.EIGHT_BIT,
        prompt_kinds=_CLICKS | {PromptKind.BOX, PromptKind.MASK},
        checkpoint=Checkpoint(
            url=f"https://dl.fbaipublicfiles.com/segment_anything/{filename}",
            filename=filename,
            size_bytes=size_bytes,
            sha256=sha256,
        ),
        licence="Apache-2.0",
        paper="Kirillov et al., Segment Anything, ICCV 2023, arXiv:2304.02643",
        notes="A model of photographs: it segments each slice by itself, those with a click and those a box crosses.",
    )


def _medical_sam_adapter(
    suffix: str, title: str, *, slices: int, rule: IntensityRule, clicks: ClickFrame, notes: str
) -> ModelSpec:
    name = f"medical_sam_adapter{suffix}"
    deep = slices > 1
    return ModelSpec(
        name=name,
        title=title,
        builder="inference_core.models.medical_sam_adapter:build",
        # The size of the input is read off the file where its tensors or its name tell it.
        window=WindowSpec(
            (256, 256, slices) if deep else (1024, 1024, 1), (), Padding.EDGE, layout=Layout.SLICES, overlapping=False
        ),
        intensity=rule,
        prompt_kinds=_CLICKS | ({PromptKind.BOX} if deep else {PromptKind.BOX, PromptKind.MASK}),
        checkpoint=Checkpoint(
            url=None, filename=f"{name}.pth", page="https://huggingface.co/KidsWithTokens/Medical-Adapter-Zoo"
        ),
        licence="the authors' code is GPL-3.0 and none of it is used here; ask them about weights",
        paper="Wu et al., Medical SAM Adapter, Medical Image Analysis 102, 2025, arXiv:2304.12620",
        notes=f"{notes} Only single foreground clicks were trained.",
        base="sam",
        clicks=clicks,
    )


_ABDOMINAL_ORGANS = (
    "spleen",
    "right kidney",
    "left kidney",
    "gallbladder",
    "oesophagus",
    "liver",
    "stomach",
    "aorta",
    "inferior vena cava",
    "portal and splenic vein",
    "pancreas",
    "adrenal glands",
)


def _ma_sam(
    name: str, title: str, *, builder: str, rule: IntensityRule, kind: PromptKind, classes: tuple[str, ...],
    size_bytes: int, notes: str,
) -> ModelSpec:  # fmt: skip
    return ModelSpec(
        name=name,
        title=title,
        builder=f"inference_core.models.ma_sam:{builder}",
        window=WindowSpec((512, 512, 5), (), Padding.EDGE, layout=Layout.SLICES),
        intensity=rule,
        prompt_kinds=frozenset({kind}),
        checkpoint=Checkpoint(
            url=None, filename=f"{name}.pth", size_bytes=size_bytes, page="https://github.com/cchen-cc/MA-SAM"
        ),
        licence="Apache-2.0",
        paper="Chen et al., MA-SAM, Medical Image Analysis 98, 2024, arXiv:2309.08842",
        classes=classes,
        notes=f"{notes} Slices are taken as the file stores them and resized to 512 pixels a side.",
        base="sam_vit_h",
    )


def _tumour(suffix: str, tumour: str, *, data: str, scale: HounsfieldScale) -> ModelSpec:
    """3DSAM-adapter as trained on one of the authors' four data sets (specification 6, the code's values)."""
    return ModelSpec(
        name=f"sam3d_adapter{suffix}",
        title=f"3DSAM-adapter, {tumour}",
        builder="inference_core.models.sam3d_adapter:build",
        window=WindowSpec(
            (128, 128, 128), (1.0,), Padding.MEAN, official="inference_core.engine.official_sam3d_adapter:predict"
        ),
        intensity=IntensityRule.HOUNSFIELD,
        prompt_kinds=frozenset({PromptKind.POSITIVE_CLICK}),
        checkpoint=Checkpoint(
            url=None, filename=f"3dsam_adapter_{data}.pth.tar", page="https://github.com/med-air/3DSAM-adapter"
        ),
        licence="none is stated by the authors; none of their code is used here, ask them about weights",
        paper="Gong et al., 3DSAM-adapter, arXiv:2306.13465",
        classes=(tumour,),
        notes="CT in Hounsfield units only. The network reads foreground clicks; a background click corrects the mask "
        "around itself, and a box says where to look and clicks at its centre.",
        session_kinds=frozenset({PromptKind.NEGATIVE_CLICK, PromptKind.BOX}),
        hounsfield=scale,
    )


_SPECS = (
    ModelSpec(
        name="sam3d_lite",
        title="SAM3D lite",
        builder="inference_core.models.sam3d_lite:build",
        window=WindowSpec((64, 64, 64), (0.75, 1.2, 1.9, 3.0, 4.8), Padding.REFLECT, any_spacing=True),
        intensity=IntensityRule.LOCAL_AND_GLOBAL,
        prompt_kinds=_CLICKS | {PromptKind.BOX, PromptKind.MASK},
        checkpoint=Checkpoint(
            url=None,
            filename="sam3d_lite.safetensors",
            size_bytes=5237362,
            sha256="e4e98a3e0eecc574e7097848af70d1905bfb3cc1e31373b95779fcba5d57845a",
            bundled=True,
        ),
        licence="Apache-2.0; trained in part on TCIA Soft-tissue-Sarcoma (CC BY 3.0)",
        paper="none; see Resources/Models/sam3d_lite.md",
    ),
    ModelSpec(
        name="sam_med3d",
        title="SAM-Med3D turbo",
        builder="inference_core.models.sam_med3d:build",
        window=WindowSpec(
            (128, 128, 128), (1.5,), Padding.ZERO, official="inference_core.engine.official_sam_med3d:predict"
        ),
        intensity=IntensityRule.FOREGROUND_ZSCORE,
        prompt_kinds=_CLICKS | {PromptKind.MASK},
        checkpoint=Checkpoint(
            url="https://huggingface.co/blueyo0/SAM-Med3D/resolve/main/sam_med3d_turbo.pth",
            filename="sam_med3d_turbo.pth",
            size_bytes=402_000_000,
        ),
        licence="Apache-2.0",
        paper="Wang et al., SAM-Med3D, arXiv:2310.15161",
    ),
    _sam(
        "sam",
        "SAM ViT-B",
        filename="sam_vit_b_01ec64.pth",
        size_bytes=375_042_383,
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    _sam(
        "sam_vit_l",
        "SAM ViT-L",
        filename="sam_vit_l_0b3195.pth",
        size_bytes=1_249_524_607,
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    _sam(
        "sam_vit_h",
        "SAM ViT-H",
        filename="sam_vit_h_4b8939.pth",
        size_bytes=2_564_550_879,
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    _medical_sam_adapter(
        "",
        "Medical SAM Adapter",
        slices=1,
        rule=IntensityRule.EIGHT_BIT_UNIT,
        clicks=ClickFrame.ROW_COLUMN,
        notes="For 2D training before April 2025: grey values 0..1, clicks as row and column.",
    ),
    _medical_sam_adapter(
        "_normalised",
        "Medical SAM Adapter, SAM's input",
        slices=1,
        rule=IntensityRule.EIGHT_BIT_NORMALISED,
        clicks=ClickFrame.X_Y,
        notes="For 2D training since April 2025: grey values as for SAM, clicks as column and row.",
    ),
    _medical_sam_adapter(
        "_3d",
        "Medical SAM Adapter 3D",
        slices=8,
        rule=IntensityRule.ABDOMEN_UNIT,
        clicks=ClickFrame.ROW_COLUMN_UNSCALED,
        notes="For training through depth (`-thd`) on abdominal CT before April 2025, in chunks of eight slices.",
    ),
    _medical_sam_adapter(
        "_3d_normalised",
        "Medical SAM Adapter 3D, SAM's input",
        slices=8,
        rule=IntensityRule.ABDOMEN_NORMALISED,
        clicks=ClickFrame.X_Y,
        notes="For training through depth (`-thd`) on abdominal CT since April 2025, in chunks of eight slices.",
    ),
    _ma_sam(
        "ma_sam",
        "MA-SAM abdomen",
        builder="build",
        rule=IntensityRule.STACK_ABDOMEN,
        kind=PromptKind.NONE,
        classes=_ABDOMINAL_ORGANS,
        size_bytes=387_500_000,
        notes="Finds twelve abdominal organs in CT by itself (BTCV). Files with other classes number theirs.",
    ),
    _ma_sam(
        "ma_sam_prostate",
        "MA-SAM prostate",
        builder="build",
        rule=IntensityRule.STACK_RANGE,
        kind=PromptKind.NONE,
        classes=("prostate",),
        size_bytes=381_400_000,
        notes="Finds the prostate in MR by itself.",
    ),
    _ma_sam(
        "ma_sam_box",
        "MA-SAM with a box",
        builder="build_box",
        rule=IntensityRule.STACK_PANCREAS,
        kind=PromptKind.BOX,
        classes=("tumour",),
        size_bytes=381_400_000,
        notes="Segments a tumour within a 3D box, as trained on pancreatic CT; no weights of it were published.",
    ),
    _tumour("", "kidney tumour", data="kits", scale=HounsfieldScale(-54, 247, mean=59.53867, deviation=55.457336)),
    _tumour(
        "_pancreas",
        "pancreas tumour",
        data="pancreas",
        scale=HounsfieldScale(-39, 204, mean=68.45214, deviation=63.422806),
    ),
    _tumour(
        "_liver", "liver tumour", data="lits", scale=HounsfieldScale(-48, 163, mean=60.057533, deviation=40.198017)
    ),
    _tumour(
        "_colon", "colon cancer", data="colon", scale=HounsfieldScale(-57, 175, mean=65.175035, deviation=32.651197)
    ),
)

DEFAULT_MODEL = "sam3d_lite"


def all_specs() -> tuple[ModelSpec, ...]:
    """Every registered model, the default first."""
    return _SPECS


def get_spec(name: str) -> ModelSpec:
    """The spec of a model.

    Raises:
        ModelError: there is no model of this name.
    """
    for spec in _SPECS:
        if spec.name == name:
            return spec
    raise ModelError(f"There is no model '{name}'; choose one of {', '.join(spec.name for spec in _SPECS)}.")


def load_model(name: str, *, weights: Path, device: str, base: Path | None = None) -> PromptableModel:
    """Build a model from a weights file on a torch device; `base` is the weights file of `spec.base`, if any.

    Raises:
        ModelError: there is no model of this name, or it takes no prompts.
        CheckpointError: the file does not fit the model.
    """
    spec = get_spec(name)
    if spec.automatic:
        raise ModelError(
            f"{spec.title} takes no prompts; use the command `segment` without any, or choose another model."
        )
    model: PromptableModel = _build(spec, weights, device, base)
    return model


def load_automatic_model(name: str, *, weights: Path, device: str, base: Path | None = None) -> AutomaticModel:
    """Build a model that needs no prompt, likewise.

    Raises:
        ModelError: there is no model of this name, or it needs prompts.
        CheckpointError: the file does not fit the model.
    """
    spec = get_spec(name)
    if not spec.automatic:
        raise ModelError(f"{spec.title} finds nothing by itself; give it a prompt, or choose another model.")
    model: AutomaticModel = _build(spec, weights, device, base)
    return model


def _build(spec: ModelSpec, weights: Path, device: str, base: Path | None) -> Any:
    module, function = spec.builder.split(":")
    build = getattr(import_module(module), function)
    return build(spec, weights, device, base=base) if spec.base else build(spec, weights, device)
