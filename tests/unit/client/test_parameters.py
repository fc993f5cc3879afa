"""The keyword arguments are those of the table of parameters, each word included."""

import inspect
from typing import Any, get_args

import pytest

from imgserve.client import ImageUrls, Parameters
from imgserve.errors import BadTransform
from imgserve.transform import PARAMETERS, Parameter, read_parameters
from imgserve.transform.parameters import BY_NAME
from tests.keywords import MODULE, parameters_module

HINTS = Parameters.__annotations__


def test_the_keyword_arguments_are_those_that_the_table_generates() -> None:
    assert MODULE.read_text(encoding="utf-8") == parameters_module(), "run make docs"


def _words(hint: Any) -> set[str]:
    """Collect the texts of the literals in a type."""
    if isinstance(hint, str):
        return {hint}
    return {word for part in get_args(hint) for word in _words(part)}


def _accepted(row: Parameter, word: str) -> bool:
    try:
        read_parameters({row.name: word})
    except BadTransform:
        return False
    return True


def test_every_name_of_the_table_is_a_keyword_and_no_other() -> None:
    assert {name.replace("-", "_") for name in BY_NAME} == set(HINTS)


@pytest.mark.parametrize("row", PARAMETERS, ids=lambda row: row.name)
def test_the_short_name_of_a_parameter_has_the_type_of_its_long_name(row: Parameter) -> None:
    own = [alias for alias in row.aliases if len(BY_NAME[alias]) == 1]
    assert {HINTS[alias.replace("-", "_")] for alias in own} <= {HINTS[row.attribute]}


@pytest.mark.parametrize(
    "row", [row for row in PARAMETERS if row.kind.known and row.name != "orient"], ids=lambda row: row.name
)
def test_the_words_of_a_parameter_are_those_that_are_accepted(row: Parameter) -> None:
    assert _words(HINTS[row.attribute]) == {word for word in row.kind.known if _accepted(row, word)}


@pytest.mark.parametrize("name", ["crop", "auto"])
def test_the_words_of_a_list_are_those_that_its_parameter_expects(name: str) -> None:
    (row,) = BY_NAME[name]
    assert row.kind.expects == "a comma list of " + ", ".join(get_args(_literal(HINTS[name])))


def _literal(hint: Any) -> Any:
    """Find the first literal in a type."""
    if all(isinstance(part, str) for part in get_args(hint)):
        return hint if get_args(hint) else None
    return next((found for part in get_args(hint) if (found := _literal(part))), None)


@pytest.mark.parametrize("method", [ImageUrls.url, ImageUrls.srcset, ImageUrls.img, ImageUrls.picture])
def test_no_argument_of_the_builder_hides_a_parameter(method: Any) -> None:
    assert not inspect.signature(method).parameters.keys() & HINTS.keys()
