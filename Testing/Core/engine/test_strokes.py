"""Lines, scribbles and lassos in a session: where they look, and what models are told that do not know them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from time import process_time

import numpy as np
import pytest
from support.scenes import SPEC, BrightnessModel, turn

from inference_core.engine.session import Session
from inference_core.errors import PromptError
from inference_core.models.registry import DEFAULT_MODEL, build_model, get_spec
from inference_core.models.spec import CLICKS, PromptKind
from inference_core.models.store import installed_path
from inference_core.prompts.encoding import WindowPrompts
from inference_core.prompts.prompt_set import Click, PromptSet
from inference_core.prompts.strokes import Lasso, Line, Scribble


@dataclass
class NotingModel(BrightnessModel):
    """Believes the image, and notes what it is told."""

    told: list[WindowPrompts] = field(default_factory=list)

    def decode(self, embedding, prompts, prior):
        self.told.append(prompts)
        return super().decode(embedding, prompts, prior)


@pytest.fixture
def an_oblique_line(a_ball) -> Line:
    center, radius = a_ball
    reach = radius * turn((10, 20, 30))[:, 0]
    return Line(tuple(center - reach), tuple(center + reach))


def circle(a_ball, share: float = 1.0) -> tuple[tuple[float, float, float], ...]:
    center, radius = a_ball
    around = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    flat = share * radius * np.stack([np.cos(around), np.sin(around), 0 * around], axis=1) @ turn((10, 20, 30)).T
    return tuple(tuple(float(v) for v in point) for point in flat + center)


def dice(prediction, volume) -> float:
    mask, truth = prediction.mask.on(volume.grid.shape).astype(bool), volume.array > 0.5
    return 2 * (mask & truth).sum() / (mask.sum() + truth.sum())


def test_a_line_gives_the_ball_that_it_crosses_and_says_how_far_to_look(a_volume, a_ball, an_oblique_line):
    model = NotingModel()
    prediction = Session(a_volume, model).predict(PromptSet((an_oblique_line,)))
    assert dice(prediction, a_volume) > 0.97
    edge = prediction.window.spacing[0] * prediction.window.shape[0]
    assert 1.2 * 2 * a_ball[1] <= edge <= 2.2 * 2 * a_ball[1]
    assert len(model.encoded) == 1
    (stroke,) = model.told[0].strokes
    np.testing.assert_allclose(prediction.window.to_ras(stroke.points), an_oblique_line.points_ras)


@pytest.mark.parametrize("kind", [Scribble, Lasso])
def test_a_drawn_target_is_segmented_and_its_stroke_told(kind, a_volume, a_ball):
    model = NotingModel()
    stroke = kind(circle(a_ball, 0.8))
    prediction = Session(a_volume, model).predict(PromptSet((stroke,)))
    assert dice(prediction, a_volume) > 0.97
    assert model.told[-1].strokes[0].kind is kind
    assert len(model.told[-1].points) == 0


def test_a_background_stroke_first_waits_for_what_says_where_the_target_is(a_volume, a_ball):
    center, radius = a_ball
    beside = Scribble((tuple(center + (1.6 * radius, 0, 0)), tuple(center + (1.7 * radius, 3, 0))), positive=False)
    model = NotingModel()
    prediction = Session(a_volume, model).predict(PromptSet((beside, Click(tuple(center)))))
    assert dice(prediction, a_volume) > 0.97
    assert not model.told[0].strokes
    assert not model.told[-1].strokes[0].positive


def test_what_is_scribbled_is_obeyed_whatever_the_model_believes(a_volume, a_ball):
    """A model that sees nothing anywhere; the scribble's places are target all the same."""
    session = Session(a_volume, BrightnessModel(bias=-30.0))
    stroke = Scribble(circle(a_ball, 0.5)[:20])
    mask = session.predict(PromptSet((stroke,))).mask
    assert mask.on(a_volume.grid.shape).any()


@pytest.fixture
def a_click_model() -> NotingModel:
    return NotingModel(spec=replace(SPEC, prompt_kinds=CLICKS | {PromptKind.MASK}))


def test_a_model_of_clicks_is_told_clicks_and_answers_as_for_those(a_volume, a_ball, an_oblique_line, a_click_model):
    drawn = Session(a_volume, a_click_model).predict(PromptSet((an_oblique_line,)))
    assert not a_click_model.told[-1].strokes
    assert len(a_click_model.told[-1].points) == 3
    ends = np.array(an_oblique_line.points_ras)
    clicks = [Click(tuple(ends[0] + share * (ends[1] - ends[0]))) for share in (0.25, 0.5, 0.75)]
    clicked = Session(a_volume, a_click_model).predict(PromptSet(tuple(clicks)))
    assert (drawn.mask.on(a_volume.grid.shape) == clicked.mask.on(a_volume.grid.shape)).all()
    assert drawn.prompts == PromptSet((an_oblique_line,))


def test_a_model_without_background_clicks_refuses_a_background_scribble(a_volume, a_ball):
    model = NotingModel(spec=replace(SPEC, prompt_kinds=frozenset({PromptKind.POSITIVE_CLICK})))
    stroke = Scribble(circle(a_ball, 0.5), positive=False)
    with pytest.raises(PromptError, match="takes no background clicks"):
        Session(a_volume, model).predict(PromptSet((Click(tuple(a_ball[0])), stroke)))


def test_taking_a_stroke_back_gives_the_answer_before(a_volume, a_ball, an_oblique_line):
    session = Session(a_volume, BrightnessModel())
    line = PromptSet((an_oblique_line,))
    before = session.predict(line).mask.on(a_volume.grid.shape)
    session.predict(line.with_(Lasso(circle(a_ball, 1.2), positive=False)))
    assert (session.predict(line).mask.on(a_volume.grid.shape) == before).all()


def test_the_built_in_model_reads_every_kind_and_500_points_cost_no_more_than_a_click(a_volume, a_ball):
    spec = get_spec(DEFAULT_MODEL)
    weights = installed_path(spec)
    if weights is None:
        pytest.skip(f"the weights of {DEFAULT_MODEL} are not in Resources/Models")
    session = Session(a_volume, build_model(spec, weights=weights, device="cpu"))
    center, radius = a_ball
    first = PromptSet((Click(tuple(center)),))
    session.predict(first)
    around = np.linspace(0, 6 * np.pi, 500)
    spiral = 0.7 * radius * np.stack([np.cos(around), np.sin(around), around / (6 * np.pi)], axis=1) + center
    click, scribble = Click(tuple(spiral[60])), Scribble(tuple(map(tuple, spiral)))
    lasso, line = Lasso(circle(a_ball)), Line(tuple(center - (0, radius, 0)), tuple(center + (0, radius, 0)))
    seconds = {}
    for prompt in (click, scribble, lasso, line):
        began = process_time()
        assert dice(session.predict(first.with_(prompt)), a_volume) > 0.8
        seconds[type(prompt)] = process_time() - began
    assert seconds[Scribble] < 2 * seconds[Click] + 0.1
