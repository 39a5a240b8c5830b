"""What is known of SAM-Med3D before it is loaded."""

from __future__ import annotations

from inference_core.models.spec import (
    CLICKS,
    Checkpoint,
    IntensityRule,
    ModelSpec,
    Padding,
    PromptKind,
    WindowSpec,
)

SPECS = (
    ModelSpec(
        name="sam_med3d",
        title="SAM-Med3D turbo",
        builder="inference_core.models.sam_med3d.model:build",
        window=WindowSpec(
            (128, 128, 128), (1.5,), Padding.ZERO, original="inference_core.models.sam_med3d.original:predict"
        ),
        intensity=IntensityRule.FOREGROUND_ZSCORE,
        prompt_kinds=CLICKS | {PromptKind.MASK},
        checkpoint=Checkpoint(
            url="https://huggingface.co/blueyo0/SAM-Med3D/resolve/main/sam_med3d_turbo.pth",
            filename="sam_med3d_turbo.pth",
            size_bytes=402_000_000,
        ),
        license="Apache-2.0",
        paper="Wang et al., SAM-Med3D, arXiv:2310.15161",
    ),
)
