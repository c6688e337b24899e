"""Cards: complete, loadable, and read without torch."""

import subprocess
import sys

import pytest

from medsr.errors import UsageError
from medsr.methods.registry import load_method, load_series_method
from medsr.models.card import AUTO, card, cards, chosen_card


@pytest.mark.parametrize("name", list(cards()))
def test_a_card_is_complete_and_its_method_exists(name):
    one = card(name)
    assert one.name == name
    assert one.summary.endswith(".")
    assert one.licence == "Apache-2.0"
    assert one.citation
    assert one.kind in ("image", "kspace")
    assert callable(load_method(name) if one.kind == "image" else load_series_method(name))


@pytest.mark.parametrize("kind", ["image", "kspace"])
def test_each_kind_of_scan_has_one_default(kind):
    assert [c.name for c in cards().values() if c.kind == kind and c.default] == [chosen_card(AUTO, kind).name]


def test_a_method_for_the_other_kind_of_scan_is_refused():
    with pytest.raises(UsageError, match="for raw data, not for images"):
        chosen_card("gridding", "image")
    with pytest.raises(UsageError, match=r"choose from .*kt"):
        chosen_card("spline", "kspace")


def test_an_unknown_method_is_named_with_those_there_are():
    with pytest.raises(UsageError, match="spline"):
        card("splines")


def test_cards_need_neither_torch_nor_numpy():
    code = "import sys; from medsr.models.card import cards; cards(); print({'torch', 'numpy'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "set()\n"
    )
