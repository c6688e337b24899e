"""Cards: complete, loadable, and read without torch."""

import subprocess
import sys

import pytest

from medsr.errors import UsageError
from medsr.methods.registry import load_method
from medsr.models.card import card, cards


@pytest.mark.parametrize("name", list(cards()))
def test_a_card_is_complete_and_its_method_exists(name):
    one = card(name)
    assert one.name == name
    assert one.summary.endswith(".")
    assert one.licence == "Apache-2.0"
    assert one.citation
    assert callable(load_method(name))


def test_an_unknown_method_is_named_with_those_there_are():
    with pytest.raises(UsageError, match="spline"):
        card("splines")


def test_cards_need_neither_torch_nor_numpy():
    code = "import sys; from medsr.models.card import cards; cards(); print({'torch', 'numpy'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "set()\n"
    )
