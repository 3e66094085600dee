"""Steps to be made into a plan: the form that each reads, and where images lie in the memory that they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._native import blocks
from .._native.tape import wrap
from ..onnx.trace import replaced

__all__ = ["Node", "Output", "Plan", "PlanImages", "Schedule", "SizesDiffer"]


class PlanImages:
    """What a plan knows of images, or of an array, that it makes.

    Attributes
    ----------
    shape : (N, C, H, W), or None for an array that is no images
    slot : int
        The number of the array, if it is there as one.
    halo : list
        Zeros around the planes that readers want: top, left, bottom, right.
    in_blocks : bool
        Whether a step has made it, or read it, in blocks.
    forms : dict
        By "blocks" and "narrow": the first and last step that use it so, and then the Images.
    """

    def __init__(self, shape: tuple[int, ...] | None) -> None:
        self.shape = shape
        self.slot: int | None = None
        self.in_blocks = False
        self.halo = [0, 0, 0, 0]
        self.forms: dict[str, Any] = {}

    def want(self, halo: tuple[int, int, int, int]) -> None:
        self.halo = [max(a, b) for a, b in zip(self.halo, halo, strict=True)]


class Node:
    """A step to be: what it reads and writes, each in one form, and what makes the Step of the Images.

    Attributes
    ----------
    by_panels : bool
        Whether it can be computed by and by, some rows of a panel of filters at a time.
    """

    by_panels = False

    def __init__(
        self,
        name: str,
        reads: list[tuple[PlanImages, str]],
        writes: list[tuple[PlanImages, str]],
        make: Callable[[list[Any], list[Any]], Any],
    ) -> None:
        self.name, self.reads, self.writes, self.make = name, reads, writes, make
        for images, form in (*reads, *writes):
            images.in_blocks |= form == "blocks"


class SizesDiffer(Exception):
    """A step's result has another size than it had when the pass was recorded: sizes depend on what is computed."""


class Plan:
    """Steps, and the memory that they share.

    Attributes
    ----------
    names : list of str
        What each step does.
    """

    def __init__(self, steps: list[Any], names: list[str], size: int, slots: int, result: Any) -> None:
        self.names = names
        self._steps, self._size, self._slots, self._result = steps, size, slots, result

    def run(self, inputs: list[np.ndarray], check: Callable[[list[Any]], None] | None = None) -> Any:
        """The model's result for inputs of the shapes that the plan is for; SizesDiffer where there is none.

        What `check` raises ends the run. It is called as the first step, while other threads wake up.
        """
        arrays: list[Any] = [*inputs, *[None] * (self._slots - len(inputs))]
        blocks.run_steps(self._steps if check is None else [check, *self._steps], self._size, arrays)
        return replaced(self._result, lambda output: wrap(arrays[output[0]].reshape(output[1])), Output)


class Output(tuple):
    """(number of the array, its shape)"""


class Schedule:
    """Nodes in order, with what brings images into the form that each reads just before it."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.nodes: list[Node] = []

    def slot(self) -> int:
        self.slots += 1
        return self.slots - 1

    def add(self, node: Node) -> None:
        for images, form in node.reads:
            self.provide(images, form)
        for images, form in (*node.reads, *node.writes):
            if form != "array":
                first, _ = images.forms.get(form, (len(self.nodes), 0))
                images.forms[form] = first, len(self.nodes)
        for images, form in node.writes:
            if form == "array":
                images.slot = self.slot()
        self.nodes.append(node)

    def provide(self, images: PlanImages, form: str) -> None:
        """Have images there in a form."""
        if form == "array":
            if images.slot is None:
                images.slot = number = self.slot()
                self.add(Node("out of blocks", [(images, "blocks")], [], lambda read, _: blocks.Exit(read[0], number)))
        elif form not in images.forms:
            self.provide(images, "array")
            number = images.slot
            self.add(Node("into blocks", [], [(images, form)], lambda _, written: blocks.Entry(number, written[0])))

    def plan(self, result: Any, itemsize: int) -> Plan:
        """The nodes as steps, on images of elements of so many bytes; `result` holds Outputs."""
        buffers: dict[tuple[int, str], tuple[Any, int, int]] = {}
        for node in self.nodes:
            for images, form in (*node.reads, *node.writes):
                if form != "array" and (id(images), form) not in buffers:
                    made = blocks.Images(images.shape, tuple(images.halo), form == "narrow", itemsize)
                    buffers[id(images), form] = (made, *images.forms[form])
        size = _share_memory(list(buffers.values()))

        def of(images: PlanImages, form: str) -> Any:
            return images.slot if form == "array" else buffers[id(images), form][0]

        steps = [node.make([of(*read) for read in node.reads], [of(*w) for w in node.writes]) for node in self.nodes]
        return Plan(steps, [node.name for node in self.nodes], size, self.slots, result)


def _share_memory(buffers: list[tuple[Any, int, int]]) -> int:
    """Give each of the Images, in use from a first to a last step, a place; returns how many bytes all take."""
    placed: list[tuple[int, int, int, int]] = []
    total = 0
    for images, first, last in sorted(buffers, key=lambda buffer: -buffer[0].size):
        size = -(-images.size // 256) * 256
        offset = 0
        for begin, end, other_first, other_last in sorted(placed):
            if other_first <= last and first <= other_last:
                if offset + size <= begin:
                    break
                offset = max(offset, end)
        images.offset = offset
        placed.append((offset, offset + size, first, last))
        total = max(total, offset + size)
    return total
