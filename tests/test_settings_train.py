"""The section "train" of the settings stands for instruct and refine both."""

from __future__ import annotations

import pytest

from sitkit.errors import SettingError
from sitkit.settings import resolve, spread


def test_train_stands_for_instruct_and_refine() -> None:
    settings = resolve({"train": {"processes": "4", "report_to": "tensorboard"}})
    assert (settings.instruct.processes, settings.refine.processes) == (4, 4)
    assert (settings.instruct.report_to, settings.refine.report_to) == ("tensorboard", "tensorboard")


@pytest.mark.parametrize("order", [("train", "refine"), ("refine", "train")])
def test_what_a_stage_says_itself_beats_train(order: tuple[str, str]) -> None:
    said = {"train": {"batch_size": 64, "processes": 2}, "refine": {"batch_size": 32}}
    settings = resolve({stage: said[stage] for stage in order})
    assert (settings.instruct.batch_size, settings.refine.batch_size) == (64, 32)
    assert (settings.instruct.processes, settings.refine.processes) == (2, 2)


def test_a_later_mapping_beats_an_earlier_one_whichever_section_says_it() -> None:
    settings = resolve({"instruct": {"processes": 1}}, {"train": {"processes": 2}})
    assert settings.instruct.processes == 2


def test_train_knows_what_both_share_alone() -> None:
    with pytest.raises(SettingError, match=r"^train has no setting 'lora_rr'"):
        resolve({"train": {"lora_rr": 4}})
    with pytest.raises(SettingError, match=r"^train has no setting 'beta'"):
        spread({"train": {"beta": 0.2}})
    with pytest.raises(SettingError, match="did you mean 'train'"):
        resolve({"trian": {"processes": 2}})
    with pytest.raises(SettingError, match=r"train.processes=0: expected a whole number between 1 and 64"):
        resolve({"train": {"processes": 0}})


def test_spreading_leaves_the_rest_as_it_is() -> None:
    assert spread({"sample": {"temperature": 0}, "train": {"processes": 2}, "refine": {"beta": 0.2}}) == {
        "sample": {"temperature": 0},
        "instruct": {"processes": 2},
        "refine": {"processes": 2, "beta": 0.2},
    }
