"""Whole networks beside ONNX Runtime: a few small ones of what ``python -m tests.onnx_networks`` goes through."""

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_networks


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1", "regnet_x_400mf"])
def test_networks_are_exported(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert max(onnx_networks.exported(name)) < 1e-5


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_networks_of_the_onnx_package_are_read(name):
    assert max(onnx_networks.light(name)) < 1e-4


def test_the_cases_of_the_onnx_package():
    import onnx_nodes

    found = onnx_nodes.outcomes()
    assert sum(why == "passed" for why in found.values()) > 1000
    excused = {"passed", "an operator that is not taken", "a dtype that tensors do not have", *onnx_nodes.KNOWN}
    wrong = {name: why for name, why in found.items() if why not in excused}
    assert not wrong
