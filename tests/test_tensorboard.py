"""Logs for TensorBoard, read back by its own reader."""

import numpy as np
import pytest

import fastconv
from fastconv import nn

pytest.importorskip("tensorboard")


def test_what_is_written_is_read(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from fastconv.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path / "run") as writer:
        for step in range(3):
            writer.add_scalar("loss", fastconv.tensor(0.5) * step, step)
        writer.add_scalars("both", {"train": 1.0, "test": 2.0}, 7)
        writer.add_image("picture", fastconv.rand(3, 4, 5), 1)
        writer.add_images("pictures", fastconv.rand(2, 1, 4, 5))
        writer.add_histogram("weights", fastconv.arange(10.0, requires_grad=True), bins=5)
        writer.add_text("notes", "some *text*")
        assert writer.get_logdir() == str(tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(0, 0.0), (1, 0.5), (2, 1.0)]
    assert (events.Images("picture")[0].height, events.Images("picture")[0].width) == (4, 5)
    assert (events.Images("pictures")[0].height, events.Images("pictures")[0].width) == (4, 10)
    histogram = events.Histograms("weights")[0].histogram_value
    assert (histogram.min, histogram.max, histogram.num) == (0, 9, 10) and np.allclose(histogram.bucket, 2)
    assert "notes/text_summary" in events.Tags()["tensors"]
    other = EventAccumulator(str(tmp_path / "run" / "both_train"))
    other.Reload()
    assert other.Scalars("both")[0].value == 1.0 and other.Scalars("both")[0].step == 7


def test_figures_and_errors(tmp_path):
    plt = pytest.importorskip("matplotlib.pyplot")
    from fastconv.utils.tensorboard import SummaryWriter

    plt.switch_backend("agg")
    with SummaryWriter(tmp_path) as writer:
        figure = plt.figure(figsize=(1, 1))
        writer.add_figure("figure", figure)
        assert not plt.fignum_exists(figure.number)
        with pytest.raises(ValueError, match="size of input tensor and input format are different"):
            writer.add_image("flat", fastconv.zeros(3, 4))
        with pytest.raises(ValueError, match="no element"):
            writer.add_histogram("none", [])


class Shortcut(nn.Module):
    """A sum of two ways, rectified in place, and batches that are normalised."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
        self.last = nn.Linear(3, 2)

    def forward(self, x, scale):
        x = self.first(x) + x
        return {"score": self.last(x.mean((2, 3))) * scale, "x": x}


def test_graphs_of_models(tmp_path, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from fastconv.utils.tensorboard import SummaryWriter

    model, x = Shortcut(), -fastconv.ones(2, 3, 4, 4)
    model.last.eval().weight.requires_grad_(False)
    before = fastconv.get_rng_state()
    with SummaryWriter(tmp_path) as writer, fastconv.no_grad():
        writer.add_graph(model, (x, 2), verbose=True)
    assert "IO Node" in capsys.readouterr().out
    assert model.training and model.first.training and not model.last.training  # as they were
    assert (x == -1).all() and not x.requires_grad and (before == fastconv.get_rng_state()).all()
    assert model.first[2].num_batches_tracked == 0 and not model.last.weight.requires_grad
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    nodes = {node.name: node for node in events.Graph().node}
    assert nodes["first/1/Conv2d"].input[1:] == ["first/1/weight", "first/1/bias"]
    assert [dim.size for dim in nodes["first/1/weight"].attr["_output_shapes"].list.shape[0].dim] == [3, 3, 1, 1]
    assert "first/2/weight" in nodes and "last/weight" in nodes["last/Linear"].input
    assert {"input/0", "output/0", "output/1"} == {name for name in nodes if nodes[name].op == "IO Node"}
    assert all(source in nodes for node in nodes.values() for source in node.input)
    reached = ["output/0"]
    for name in reached:
        reached += nodes[name].input
    assert "input/0" in reached
