"""Parts as parameters: text, JSON and object are one and the same."""

from __future__ import annotations

import dataclasses
import json

import pytest
from sklearn.base import clone

import helpers
from helpers import BOTTLENECKS, LOSSES, NETWORKS, NOISES, OPTIMIZERS, PENALTIES, SCHEDULES, by_name
from isthmus import Autoencoder, bottlenecks, estimators, networks, objectives, training
from isthmus._checks import check_flag, check_integer, check_number, suggestion
from isthmus._specification import resolve
from isthmus.errors import InvalidParameterError, InvalidTypeError

FAMILIES = {
    "network": (NETWORKS, networks.NETWORKS),
    "bottleneck": (BOTTLENECKS, bottlenecks.BOTTLENECKS),
    "noise": (NOISES, objectives.NOISES),
    "loss": (LOSSES, objectives.LOSSES),
    "penalty": (PENALTIES, objectives.PENALTIES),
    "optimizer": (OPTIMIZERS, training.OPTIMIZERS),
    "schedule": (SCHEDULES, training.SCHEDULES),
}
PARTS = [(family, part) for family, (parts, _) in FAMILIES.items() for part in parts]
parts = pytest.mark.parametrize(("family", "part"), PARTS, ids=[f"{name}-{part}" for name, part in PARTS])


def test_the_lists_of_the_tests_are_complete():
    for listed, table in FAMILIES.values():
        assert {type(part) for part in listed} == set(table.values())
    assert set(helpers.ESTIMATORS) == set(estimators.ESTIMATORS.values())
    assert {estimator.__name__ for estimator in helpers.ESTIMATORS} == set(estimators.ESTIMATORS)
    assert set(helpers.ACTIVATIONS) == set(networks.ACTIVATIONS)


@parts
def test_text_json_and_part_are_one(family, part):
    table = FAMILIES[family][1]
    forms = [part, str(part), part.to_dict(), json.loads(json.dumps(part.to_dict()))]
    assert {resolve(form, table, parameter=family, owner="Test") for form in forms} == {part}


@parts
def test_a_name_alone_is_the_part_with_its_defaults(family, part):
    assert resolve(part.name, FAMILIES[family][1], parameter=family, owner="Test") == type(part)()


@parts
def test_parts_never_change(family, part):
    assert clone(part) is part
    for setting in part.settings():
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, setting, 0)
    assert part.replace() == part
    assert part.get_params() == {name: getattr(part, name) for name in part.settings()}


@parts
def test_an_estimator_takes_every_form(family, part):
    model = Autoencoder(**{family: part})
    settings = {name: value for name, value in model.get_params().items() if name.startswith(f"{family}__")}
    assert settings == {f"{family}__{name}": value for name, value in part.get_params().items()}
    text = Autoencoder(**{family: str(part)})
    for name, value in settings.items():
        text.set_params(**{name: value})
    assert text.get_params()[family] == (part if settings else str(part))


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (
            "l3",
            InvalidParameterError,
            r"'penalty' parameter of Me must be one of 'l1', 'l2', 'elastic', 'kl', .*Did you mean",
        ),
        ("elastik", InvalidParameterError, "Did you mean 'elastic'"),
        ("l1:wieght=1", InvalidParameterError, r"'l1' has no setting 'wieght'.*Did you mean 'weight'"),
        ("l1:weight", InvalidParameterError, "written as 'name:setting=value,setting=value'"),
        ("l1:weight=heavy", InvalidTypeError, "'weight' parameter of L1"),
        ({"weight": 1}, InvalidTypeError, "one of L1, L2, Elastic"),
        ({"part": "l1", "mass": 1}, InvalidParameterError, "'l1' has no setting 'mass'"),
        (3, InvalidTypeError, "Got 3 instead"),
        (objectives.L1, InvalidTypeError, "'penalty' parameter"),
        (training.Adam(), InvalidTypeError, "'penalty' parameter"),
    ],
    ids=repr,
)
def test_what_is_no_part_is_refused(value, error, message):
    with pytest.raises(error, match=message):
        resolve(value, objectives.PENALTIES, parameter="penalty", owner="Me")


def test_nested_settings_that_cannot_be_set_are_explained():
    with pytest.raises(
        InvalidParameterError, match=r"penalty=None, so 'penalty__weight' cannot be set. Name the part"
    ):
        Autoencoder().set_params(penalty__weight=1)
    with pytest.raises(
        InvalidParameterError, match=r"'adam' has no setting 'beta'; it has .* Did you mean 'beta"
    ):
        Autoencoder().set_params(optimizer__beta=1)
    with pytest.raises(ValueError, match="Invalid parameter 'penalti'"):
        Autoencoder().set_params(penalti__weight=1)


def test_text_values_are_data_and_never_run():
    with pytest.raises(InvalidTypeError, match="__import__"):
        resolve("l1:weight=__import__('os')", objectives.PENALTIES, parameter="penalty", owner="Me")


def test_suggestions():
    assert suggestion("Adm", ["adam", "sgd"]) == "Did you mean 'adam'?"
    assert suggestion("quadratic", ["adam", "sgd"]) == ""


@pytest.mark.parametrize("value", [True, "3", None, 1j, float("nan"), float("inf"), -1, 3])
def test_numbers_are_checked(value):
    with pytest.raises(
        InvalidParameterError, match=r"The 'p' parameter of Me must be a number in \[0, 2\]\. Got"
    ):
        check_number(value, parameter="p", owner="Me", minimum=0, maximum=2)


@pytest.mark.parametrize("value", [True, 2.0, "2", None, 0])
def test_integers_are_checked(value):
    with pytest.raises(
        InvalidParameterError, match=r"The 'p' parameter of Me must be an integer of at least 1. Got"
    ):
        check_integer(value, parameter="p", owner="Me", minimum=1)


@pytest.mark.parametrize("value", [1, 0, "yes", None])
def test_flags_are_checked(value):
    with pytest.raises(InvalidTypeError, match="The 'p' parameter of Me must be True or False"):
        check_flag(value, parameter="p", owner="Me")


def test_numbers_of_numpy_are_numbers():
    import numpy as np

    assert check_number(np.float32(0.5), parameter="p", owner="Me") == 0.5
    assert check_integer(np.int64(5), parameter="p", owner="Me") == 5
    assert check_flag(np.bool_(True), parameter="p", owner="Me") is True
    assert by_name(objectives.L1(weight=0.5)) == "l1:weight=0.5,on=activity,per=feature"
