"""Tensors in memory that processes share."""

import multiprocessing
import pickle

import numpy as np
import pytest

import fastconv
from fastconv import nn


def add_one(model, done):
    with fastconv.no_grad():
        for parameter in model.parameters():
            parameter += 1
        model.weight[0, 0] = 100
    done.put((model.weight.is_shared(), type(model.weight).__name__, model.weight.requires_grad))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_what_a_child_writes_is_seen_here(method):
    model = nn.Linear(3, 2)
    before = model.bias.detach().clone()
    assert model.share_memory() is model and model.weight.is_shared() and not before.is_shared()
    context = multiprocessing.get_context(method)
    done = context.SimpleQueue()
    process = context.Process(target=add_one, args=(model, done))
    process.start()
    assert done.get() == (True, "Parameter", True)
    process.join()
    assert process.exitcode == 0
    assert np.array_equal(model.bias.detach().numpy(), before.numpy() + 1) and model.weight[0, 0].item() == 100


def test_values_stay():
    for x in (fastconv.rand(3, 4), fastconv.tensor(5), fastconv.zeros(0, 3), fastconv.arange(6).view(2, 3).t()):
        values = x.tolist()
        assert x.share_memory_() is x and x.is_shared() and x.share_memory_().tolist() == values
        assert x.view(-1).is_shared() or not x.is_contiguous()
        assert pickle.loads(pickle.dumps(x)).tolist() == values
