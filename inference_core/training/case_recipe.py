"""The base of recipes that draw their samples from labeled cases: what is the same in every published family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inference_core.training.pools import Pool
from inference_core.training.recipe import Prepared, SampleSource, Stage
from inference_core.training.samples import CaseSamples, Draw, Drawn, PreparedStore

if TYPE_CHECKING:
    import numpy as np

    from inference_core.training.config import TrainConfig
    from inference_core.training.data.cases import Case


class CaseRecipe:
    """One stage of what `draw` makes of a case, judged on what `plain` makes; `store` keeps what `prepare` made."""

    config: TrainConfig
    store: PreparedStore

    def prepare(self, case: Case) -> Prepared:
        """A case as the family wants it, arrays by name."""
        raise NotImplementedError

    def draw(self, prepared: Prepared, rng: np.random.Generator) -> Drawn | None:
        """A sample to learn from, changed at random where the family does so; None where there is no target."""
        raise NotImplementedError

    def plain(self, prepared: Prepared, rng: np.random.Generator) -> Drawn | None:
        """A sample to be judged by, as it is."""
        return self.draw(prepared, rng)

    def stages(self, pools: Sequence[Pool], *, batch: int) -> Sequence[Stage]:
        """The whole run on one kind of sample."""
        return [Stage(1.0, self._samples(pools, self.draw), batch)]

    def validation(self, pools: Sequence[Pool]) -> SampleSource:
        """The kept back cases, not changed at random."""
        return self._samples(pools, self.plain)

    def _samples(self, pools: Sequence[Pool], draw: Draw) -> CaseSamples:
        return CaseSamples(pools, self.prepare, draw, seed=self.config.seed, store=self.store)
