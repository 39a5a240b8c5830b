"""What is known of MA-SAM's models before they are loaded."""

from __future__ import annotations

from inference_core.models.spec import (
    Checkpoint,
    IntensityRule,
    Layout,
    ModelSpec,
    Padding,
    PromptKind,
    WindowSpec,
)

_ABDOMINAL_ORGANS = (
    "spleen",
    "right kidney",
    "left kidney",
    "gallbladder",
    "esophagus",
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
        builder=f"inference_core.models.ma_sam.model:{builder}",
        window=WindowSpec((512, 512, 5), (), Padding.EDGE, layout=Layout.SLICES),
        intensity=rule,
        prompt_kinds=frozenset({kind}),
        checkpoint=Checkpoint(
            url=None, filename=f"{name}.pth", size_bytes=size_bytes, page="https://github.com/cchen-cc/MA-SAM"
        ),
        license="Apache-2.0",
        paper="Chen et al., MA-SAM, Medical Image Analysis 98, 2024, arXiv:2309.08842",
        classes=classes,
        notes=f"{notes} Slices are taken as the file stores them and resized to 512 pixels a side.",
        base="sam_vit_h",
    )


SPECS = (
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
        classes=("tumor",),
        size_bytes=381_400_000,
        notes="Segments a tumor within a 3D box, as trained on pancreatic CT; no weights of it were published.",
    ),
)
