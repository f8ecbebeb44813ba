from pathlib import Path

import pytest

from layers import budget
from layers.archive import Archive


def archive(name, unzipped, zipped=1):
    return Archive(name, Path(f"{name}.zip"), {"file": unzipped}, zipped)


PREDICT = archive("predict", 100_000)


def test_real_layers_are_well_within_lambdas_limits(runtime_layer, web_layer):
    report = budget.check(PREDICT, [runtime_layer, web_layer])
    total, layers, *uploads = report.lines
    assert total.used == 100_000 + runtime_layer.unzipped + web_layer.unzipped
    assert total.left == 262_144_000 - total.used > 200_000_000
    assert (layers.used, layers.left) == (2, 3)
    assert [line.used for line in uploads] == [1, runtime_layer.zipped, web_layer.zipped]


def test_the_last_byte_fits_and_one_more_does_not():
    budget.check(PREDICT, [archive("model-big-1", 262_144_000 - 100_000)])
    with pytest.raises(budget.OverBudget) as caught:
        budget.check(PREDICT, [archive("runtime-x86_64", 8_000_000), archive("model-big-1", 262_144_000)])
    message = str(caught.value)
    assert "8,100,000 over Lambda's 262,144,000" in message
    assert "the largest is model-big-1" in message
    assert "from S3" in message


def test_a_sixth_layer_is_refused():
    layers = [archive(f"layer-{n}", 1) for n in range(6)]
    budget.check(PREDICT, layers[:5])
    with pytest.raises(budget.OverBudget, match="6 layers, Lambda takes 5"):
        budget.check(PREDICT, layers)


def test_a_zip_too_large_for_a_direct_upload_is_reported_only():
    report = budget.check(PREDICT, [archive("model-big-1", 90_000_000, zipped=60_000_000)])
    (line,) = [line for line in report.lines if line.left < 0]
    assert line.what == "model-big-1.zip, uploaded without S3"
    assert not line.refused
