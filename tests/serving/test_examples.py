"""The examples that the documentation names are what the API and the model server take."""

import json

import numpy as np

from accidents.features import feature_names
from accidents.geography.departments import department_at
from serving.api.schema.accident import Accident
from serving.api.schema.description import describe
from tests.conftest import ROOT


def test_the_example_accident_is_understood_whole() -> None:
    accident = Accident.model_validate_json((ROOT / "references" / "accident.json").read_bytes())
    described = describe(accident, "dispatch", department_at)
    assert described.notes == []
    assert described.features["pedestrian"] == 1


def test_the_example_request_tells_the_model_server_of_the_same_accident() -> None:
    request = json.loads((ROOT / "references" / "v2_request.json").read_text(encoding="utf-8"))
    accident = Accident.model_validate_json((ROOT / "references" / "accident.json").read_bytes())
    expected = describe(accident, "dispatch", department_at).features
    (tensor,) = request["inputs"]
    assert tensor["parameters"]["columns"] == list(feature_names("dispatch"))
    assert tensor["shape"] == [1, len(expected)]
    sent = np.array(tensor["data"], dtype=np.float32)
    np.testing.assert_allclose(sent, np.array(list(expected.values()), dtype=np.float32), rtol=1e-6)
