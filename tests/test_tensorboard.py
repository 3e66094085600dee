"""Logs for TensorBoard, read back by its own reader."""

import numpy as np
import pytest

import fastconv

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
