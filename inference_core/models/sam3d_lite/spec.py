"""What is known of SAM3D lite before it is loaded."""

from __future__ import annotations

from inference_core.models.spec import (
    CLICKS,
    STROKES,
    Checkpoint,
    IntensityRule,
    ModelSpec,
    Padding,
    PromptKind,
    WindowSpec,
)

SPECS = (
    ModelSpec(
        name="sam3d_lite",
        title="SAM3D lite",
        builder="inference_core.models.sam3d_lite.model:build",
        window=WindowSpec((64, 64, 64), (0.75, 1.2, 1.9, 3.0, 4.8), Padding.REFLECT, any_spacing=True),
        intensity=IntensityRule.LOCAL_AND_GLOBAL,
        prompt_kinds=CLICKS | STROKES | {PromptKind.BOX, PromptKind.MASK},
        checkpoint=Checkpoint(
            url=None,
            filename="sam3d_lite.safetensors",
            size_bytes=5245138,
            sha256="ebf39cae353c305b912a979fec1a35b280f3c1e7af493baf7b42b7da745741fe",
            bundled=True,
        ),
        license="Apache-2.0; trained in part on TCIA Soft-tissue-Sarcoma and Brain-Tumor-Progression (CC BY 3.0)",
        paper="none; see Resources/Models/sam3d_lite.md",
    ),
)
