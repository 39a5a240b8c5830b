"""What the registry says of each model before anything is loaded."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields, replace
from importlib import import_module
from pathlib import Path

import pytest

from inference_core.errors import ModelError
from inference_core.models.registry import DEFAULT_MODEL, all_specs, build_model, get_spec
from inference_core.models.spec import Checkpoint, IntensityRule, Layout, ModelSpec, PromptKind

EVERY_SPEC = pytest.mark.parametrize("spec", all_specs(), ids=lambda spec: spec.name)


def test_the_default_model_comes_first_and_is_bundled():
    assert all_specs()[0].name == DEFAULT_MODEL
    assert get_spec(DEFAULT_MODEL).checkpoint.bundled


def test_names_titles_and_weights_files_are_unique():
    for values in zip(*[(s.name, s.title, s.checkpoint.filename) for s in all_specs()], strict=True):
        assert len(set(values)) == len(all_specs())


@EVERY_SPEC
def test_a_spec_is_found_by_its_name(spec):
    assert get_spec(spec.name) is spec


@EVERY_SPEC
def test_a_name_can_be_typed_in_a_terminal(spec):
    assert re.fullmatch(r"[a-z][a-z0-9_]*", spec.name)


@EVERY_SPEC
def test_a_builder_is_a_function_that_exists(spec):
    module, function = spec.builder.split(":")
    assert callable(getattr(import_module(module), function))


@EVERY_SPEC
def test_a_window_can_be_halved_and_its_spacings_run_from_fine_to_coarse(spec):
    sliced = spec.window.layout is Layout.SLICES
    assert all(n > 0 and n % 8 == 0 for n in spec.window.shape[: 2 if sliced else 3])
    assert list(spec.window.spacings) == sorted(set(spec.window.spacings))
    assert not spec.window.spacings if sliced else spec.window.spacings[0] > 0


@EVERY_SPEC
def test_a_model_can_be_told_what_to_segment(spec):
    assert spec.prompt_kinds & {PromptKind.POSITIVE_CLICK, PromptKind.BOX, PromptKind.NONE}


@EVERY_SPEC
def test_weights_are_bundled_or_can_be_fetched_safely_or_found_on_a_page(spec):
    checkpoint = spec.checkpoint
    assert [checkpoint.bundled, checkpoint.url is not None, checkpoint.page is not None].count(True) == 1
    assert all(address.startswith("https://") for address in (checkpoint.url, checkpoint.page) if address)
    assert Path(checkpoint.filename).name == checkpoint.filename
    assert checkpoint.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", checkpoint.sha256)


@EVERY_SPEC
def test_an_official_script_is_a_function_that_exists(spec):
    if spec.window.original is not None:
        module, function = spec.window.original.split(":")
        assert callable(getattr(import_module(module), function))


@EVERY_SPEC
def test_a_hounsfield_scale_is_there_exactly_where_the_rule_needs_one(spec):
    assert (spec.hounsfield is not None) == (spec.intensity is IntensityRule.HOUNSFIELD)
    if spec.hounsfield is not None:
        assert spec.hounsfield.low < spec.hounsfield.mean < spec.hounsfield.high
        assert spec.hounsfield.deviation > 0


@EVERY_SPEC
def test_a_prompt_is_either_the_networks_or_the_sessions(spec):
    assert not spec.prompt_kinds & spec.session_kinds
    assert spec.accepted_kinds == spec.prompt_kinds | spec.session_kinds


@EVERY_SPEC
def test_license_and_paper_are_told(spec):
    assert spec.license
    assert spec.paper
    assert spec.classes


@EVERY_SPEC
def test_a_spec_is_a_value_that_cannot_be_changed(spec):
    assert hash(spec) == hash(ModelSpec(**{field.name: getattr(spec, field.name) for field in fields(spec)}))
    with pytest.raises(FrozenInstanceError):
        spec.name = "another"


def test_an_unknown_model_is_refused_with_the_names_to_choose_from(tmp_path):
    names = ", ".join(spec.name for spec in all_specs())
    for ask in (lambda: get_spec("sam4d"), lambda: build_model("sam4d", weights=tmp_path, device="cpu")):
        with pytest.raises(ModelError, match=f"There is no model 'sam4d'; choose one of {names}"):
            ask()


def test_a_model_is_built_from_its_spec_its_weights_and_a_device(tmp_path):
    spec = replace(get_spec("sam3d_lite"), builder="support.recorded_builds:build")
    built = build_model(spec, weights=tmp_path, device="cpu", precision="bfloat16")
    assert (built.spec, built.weights, built.device, built.precision) == (spec, tmp_path, "cpu", "bfloat16")


def test_a_checkpoint_is_not_bundled_unless_it_says_so():
    assert not Checkpoint(url="https://example.org/x", filename="x").bundled
