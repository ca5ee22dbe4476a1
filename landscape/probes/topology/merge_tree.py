"""The merge tree of a function on a grid: how the basins of its sublevel sets are born and flow together as the level rises.

Points are vertices, joined to their four neighbours along the axes; a point enters at its value. This is the 0-dimensional part of
the cubical complex of :mod:`landscape.probes.topology.persistence`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

MINIMUM, SADDLE, TOP = 1, 2, 3


@dataclass(frozen=True, eq=False)
class MergeTree:
    """A tree for each connected component of the points, its nodes by ascending value.

    A plateau is one node. Basins that meet at one level, be it in one point or in several, meet in one node.

    Attributes:
        values: of the nodes, ``(n,)``.
        places: the flat index of a point of the grid at each node.
        kinds: :data:`MINIMUM`, :data:`SADDLE` where basins meet, or :data:`TOP`, the highest point of a component.
        parents: the number of the node above; a root's is its own.
        pairs: by the elder rule, for every minimum but the lowest of its component the numbers of itself and of the saddle where
            its basin joins that of a lower one, ``(m, 2)``.
    """

    values: Floats
    places: Ints
    kinds: NDArray[np.int8]
    parents: Ints
    pairs: Ints

    @property
    def minima(self) -> Ints:
        """The numbers of the minima."""
        return np.flatnonzero(self.kinds == MINIMUM)

    @property
    def roots(self) -> Ints:
        return np.flatnonzero(self.parents == np.arange(self.parents.size))

    def smad(self) -> float:
        """Mean |f(saddle) − f(minimum)| over the edges between a saddle and a minimum (Landscaper, arXiv 2602.07135).

        0 where a single minimum leaves no such edge, as there; NaN without a point.
        """
        if not self.values.size:
            return math.nan
        minima = self.minima
        above = self.parents[minima]
        joined = self.kinds[above] == SADDLE
        return float((self.values[above] - self.values[minima])[joined].mean()) if joined.any() else 0.0


def merge_tree(values: Floats, known: Mask) -> MergeTree:
    """The merge tree of the sublevel sets {f ≤ c} of ``values`` ``(h, w)`` at the points that are ``known``; the others are holes.

    Union-find over the points by ascending value, O(N log N).
    """
    growing = _Growing(values)
    flat = values.ravel()
    places = np.flatnonzero(known.ravel())
    for place in places[np.argsort(flat[places], kind="stable")].tolist():
        growing.add(place)
    return growing.tree()


class _Growing:
    """The sublevel set as its level rises. Nodes are numbered as they are made; a component is named by one of its points."""

    def __init__(self, values: Floats) -> None:
        self._shape = values.shape
        self._values: list[float] = values.ravel().tolist()
        self._leader: dict[int, int] = {}  # of every point that is in, a point nearer to its component's name
        self._lowest: dict[int, int] = {}  # component -> its lowest minimum
        self._head: dict[int, int] = {}  # component -> its highest node
        self._highest: dict[int, int] = {}  # component -> the point that came last
        self._nodes: list[tuple[int, int]] = []  # place and kind
        self._above: dict[int, int] = {}
        self._same: dict[int, int] = {}  # a node -> the one that it turned out to be part of
        self._pairs: list[tuple[int, int]] = []

    def add(self, place: int) -> None:
        """The next point in the order of values."""
        met = sorted({self._find(other) for other in self._neighbours(place) if other in self._leader})
        if not met:
            self._leader[place] = place
            self._lowest[place] = self._head[place] = self._node(place, MINIMUM)
            self._highest[place] = place
            return
        self._leader[place] = met[0]
        self._highest[met[0]] = place
        for other in met[1:]:
            self._join(met[0], other, place)

    def tree(self) -> MergeTree:
        """All that is known, with the top of every component."""
        for component, head in list(self._head.items()):
            highest = self._highest[component]
            if self._values[highest] > self._value(head):
                self._above[self._final(head)] = self._node(highest, TOP)
        kept = [number for number in range(len(self._nodes)) if number not in self._same]
        kept.sort(key=lambda number: (self._value(number), number))
        new = {number: k for k, number in enumerate(kept)}
        parents = [new[self._final(self._above.get(number, number))] for number in kept]
        pairs = [(new[young], new[self._final(saddle)]) for young, saddle in self._pairs]
        return MergeTree(
            values=np.array([self._value(number) for number in kept], dtype=np.float64),
            places=np.array([self._nodes[number][0] for number in kept], dtype=np.int64),
            kinds=np.array([self._nodes[number][1] for number in kept], dtype=np.int8),
            parents=np.array(parents, dtype=np.int64),
            pairs=np.array(pairs, dtype=np.int64).reshape(-1, 2),
        )

    def _join(self, keep: int, other: int, place: int) -> None:
        """Component ``other`` becomes part of ``keep`` at a point; the younger minimum ends there."""
        level = self._values[place]
        old, young = sorted((self._lowest[keep], self._lowest[other]), key=lambda number: (self._value(number), number))
        if self._value(young) == level:  # of one plateau with this point, so no basin of its own
            self._same[young] = old
            head = self._head[keep] if self._lowest[keep] == old else self._head[other]
        else:
            head = self._saddle(place, self._head[keep], self._head[other])
            self._pairs.append((young, head))
        self._leader[other] = keep
        self._lowest[keep], self._head[keep] = old, head
        for of_component in (self._lowest, self._head, self._highest):
            del of_component[other]

    def _saddle(self, place: int, *heads: int) -> int:
        """The node in which two branches meet: one of them where it is a saddle of this very level."""
        level = self._values[place]
        there = [head for head in heads if self._nodes[head][1] == SADDLE and self._value(head) == level]
        node = there[0] if there else self._node(place, SADDLE)
        for head in heads:
            if head in there[1:]:
                self._same[head] = node
            elif head != node:
                self._above[head] = node
        return node

    def _node(self, place: int, kind: int) -> int:
        self._nodes.append((place, kind))
        return len(self._nodes) - 1

    def _value(self, number: int) -> float:
        return self._values[self._nodes[number][0]]

    def _final(self, number: int) -> int:
        while number in self._same:
            number = self._same[number]
        return number

    def _find(self, place: int) -> int:
        path = []
        while self._leader[place] != place:
            path.append(place)
            place = self._leader[place]
        for passed in path:
            self._leader[passed] = place
        return place

    def _neighbours(self, place: int) -> Iterator[int]:
        height, width = self._shape
        row, column = divmod(place, width)
        if column:
            yield place - 1
        if column < width - 1:
            yield place + 1
        if row:
            yield place - width
        if row < height - 1:
            yield place + width
