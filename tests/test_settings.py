"""Settings: the paper's defaults, a student's recommendations, --set on top."""

import contextlib
import dataclasses
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from sitkit.errors import SettingError
from sitkit.settings import STAGE_SETTINGS, InstructSettings, RefineSettings, key_material, resolve, setting_types
from sitkit.validation import description


def test_defaults_are_the_papers() -> None:
    settings = resolve()
    assert (settings.instruct.epochs, settings.instruct.learning_rate, settings.instruct.weight_decay) == (
        4,
        2e-5,
        1e-4,
    )
    assert (settings.instruct.scheduler, settings.instruct.warmup) == ("cosine", 0.03)
    assert (settings.refine.learning_rate, settings.refine.warmup, settings.refine.max_steps) == (1e-6, 100, 1000)
    assert settings.refine.batch_size == 128
    assert settings.sample.temperature == 0.1
    assert settings.evaluate.temperature == 0


def test_set_beats_the_student_which_beats_the_paper() -> None:
    settings = resolve({"instruct": {"epochs": 2, "lora_r": 16}}, {"instruct": {"epochs": "3"}})
    assert (settings.instruct.epochs, settings.instruct.lora_r, settings.instruct.lora_alpha) == (3.0, 16, 16)


@pytest.mark.parametrize(
    ("stage", "key", "value", "said"),
    [
        ("instrukt", "epochs", "1", "did you mean 'instruct'"),
        ("instruct", "epoch", "1", "did you mean 'epochs'"),
        ("instruct", "epochs", "0", "expected a number above 0"),
        ("instruct", "epochs", "many", "expected a number"),
        ("instruct", "epochs", "nan", "expected a number"),
        ("refine", "warmup", "inf", "expected a number"),
        ("instruct", "lora_r", "1.5", "expected a whole number"),
        ("instruct", "lora_r", "１２", "expected a whole number"),
        ("instruct", "epochs", "１２.٥", "expected a number"),
        ("instruct", "packing", "perhaps", "expected true or false"),
        ("refine", "validation", "0.95", "expected a number between 0 and 0.9"),
        ("pair", "match", "exact", "expected one of final, contains"),
        ("sample", "temperature", "-1", "expected a number between 0 and 10"),
        ("sample", "max_new_tokens", True, "expected a whole number"),
        ("sample", "max_new_tokens", "0", r"^sample\.max_new_tokens=0: expected a whole number of at least 1$"),
        ("instruct", "batch_size", 10**30, "expected a whole number of at least 1, below 4294967296"),
        ("instruct", "batch_size", [10**5000], "batch_size=a value too long to print: expected a whole number"),
        ("instruct", "packing", 1, "expected true or false"),
        ("instruct", "warmup", 1e400, "expected a number of at least 0"),
        ("instruct", "scheduler", "\ud800", "expected text"),
        ("instruct", "scheduler", None, "expected text"),
        ("refine", "beta", "0", "expected a number above 0, or none"),
        ("refine", "loss", ["sft"], "expected text, or none"),
    ],
)
def test_wrong_settings_say_which_and_why(stage: str, key: str, value: object, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        resolve({stage: {key: value}})


def test_every_setting_round_trips_through_text_and_has_a_sentence() -> None:
    for stage, kind in STAGE_SETTINGS.items():
        for field in dataclasses.fields(kind):
            assert description(setting_types(stage)[field.name]), (stage, field.name)
            read = resolve({stage: {field.name: str(field.default) if field.default is not None else "none"}})
            value = getattr(getattr(read, stage), field.name)
            # An int where a float is read back would be another key.
            assert (value, type(value)) == (field.default, type(field.default))


@given(st.sampled_from(sorted(STAGE_SETTINGS)), st.text(max_size=10), st.text(max_size=10))
def test_any_text_is_a_setting_or_one_clear_line(stage: str, key: str, value: str) -> None:
    with contextlib.suppress(SettingError):
        resolve({stage: {key: value}})


def test_a_setting_that_is_new_enters_a_key_only_where_it_is_not_the_default() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Before:
        rate: float = 0.5

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class After(Before):
        shape: Annotated[str | None, Meta(extra={"in_key": "changed"})] = None
        places: Annotated[int, Meta(extra={"in_key": "never"})] = 1

    assert key_material(After(places=2)) == key_material(Before()) == {"rate": 0.5}
    assert key_material(After(shape="round")) == {"rate": 0.5, "shape": "round"}


def test_the_way_of_training_is_in_the_key_where_it_is_trls_own() -> None:
    for kind in (InstructSettings, RefineSettings):
        assert "fast" not in key_material(kind())
        assert key_material(kind(fast=False)) == {**key_material(kind()), "fast": False}
        assert key_material(kind(save_steps=7, report_to="tensorboard")) == key_material(kind())
    both = resolve({"train": {"fast": "false"}, "refine": {"fast": "true"}})
    assert (both.instruct.fast, both.refine.fast) == (False, True)
