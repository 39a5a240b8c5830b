"""What was made of the cases seen last, kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from inference_core.training.data.cases import Case

Made = TypeVar("Made")


class Recent(Generic[Made]):
    """Makes something of a case, once as long as it is among the `count` cases asked for last.

    A case is told by all that it is: two may share an image and differ in its channel, series or label.
    """

    def __init__(self, make: Callable[[Case], Made], *, count: int) -> None:
        self.make, self.count = make, count
        self._kept: OrderedDict[Case, Made] = OrderedDict()

    def of(self, case: Case) -> Made:
        """What was made of a case, or is made now."""
        if case not in self._kept:
            self._kept[case] = self.make(case)
            if len(self._kept) > self.count:
                self._kept.popitem(last=False)
        self._kept.move_to_end(case)
        return self._kept[case]
