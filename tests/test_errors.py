import json

import pytest

from spacy_epee.errors import raise_alone


def test_an_error_keeps_nothing_of_the_one_it_stands_for():
    with pytest.raises(ValueError) as caught:
        try:
            json.loads("a patient's note")
        except json.JSONDecodeError:
            raise_alone(ValueError("line 1: not JSON"))
    assert caught.value.__context__ is None and caught.value.__cause__ is None
