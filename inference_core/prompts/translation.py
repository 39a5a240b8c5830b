"""What a model is told of prompts whose kinds it does not know: clicks, and boxes where it knows no clicks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from inference_core.geometry.box import Box3D
from inference_core.prompts.prompt_set import BoxPrompt, Click, Prompt, PromptSet, is_background
from inference_core.prompts.strokes import Line, Stroke, telling_points
from inference_core.prompts.text import TextPrompt

# A stroke has no depth, but a box has; of this share of its greatest extent at least.
_LEAST_DEPTH = 0.2


def in_known_kinds(prompts: PromptSet, known: Collection[type[Prompt]]) -> PromptSet:
    """The same prompts with every stroke of a kind that is not `known` put into clicks or, without those, into a box.

    A line becomes three foreground clicks a quarter, half and three quarters along it; a scribble up to five clicks of
    its sign, evenly spread; a lasso one click of its sign, on the deepest place within it. For a model of boxes alone,
    a line becomes the cube about its center whose edge is its length, and a foreground scribble or lasso the box around
    its points. A background stroke stays a background click: such a model refuses it by its own rule.
    """
    if all(type(stroke) in known for stroke in prompts.strokes):
        return prompts
    told = tuple(part for prompt in prompts.prompts for part in _told(prompt, known))
    return replace(prompts, prompts=told)


def _told(prompt: Prompt, known: Collection[type[Prompt]]) -> tuple[Prompt, ...]:
    if type(prompt) in known or isinstance(prompt, Click | BoxPrompt | TextPrompt):
        return (prompt,)
    background = is_background(prompt)
    if Click not in known and not background:
        return (BoxPrompt(box_over(prompt)),)
    return tuple(Click((float(r), float(a), float(s)), not background) for r, a, s in telling_points(prompt))


def box_over(stroke: Stroke) -> Box3D:
    """The box along RAS that a stroke spans: a line as the diameter of a cube, others by their points."""
    points = np.array(stroke.points_ras)
    if isinstance(stroke, Line):
        return Box3D.aligned(points.mean(axis=0), (stroke.length_mm,) * 3)
    low, high = points.min(axis=0), points.max(axis=0)
    size = high - low
    return Box3D.aligned((low + high) / 2, np.maximum(size, max(_LEAST_DEPTH * float(size.max()), 1.0)))
