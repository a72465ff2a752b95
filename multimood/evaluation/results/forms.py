"""The forms of the files that the page is written from: what it needs of them, and no more."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Metric = Literal["accuracy", "weighted_f1", "macro_f1", "uar"]
Share = Annotated[float, Field(ge=0, le=1)]
Interval = tuple[Share, Share]


class _Written(BaseModel):
    """Of a file that a program wrote."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class _ByHand(BaseModel):
    """Of a file that a person wrote: a word that is not known is a mistake."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, extra="forbid")


class Agreement(_Written):
    """Of a prediction with the truth; None where nothing that is served predicts it."""

    accuracy: Share | None
    weighted_f1: Share | None
    macro_f1: Share | None
    uar: Share | None

    def of(self, metric: Metric) -> float | None:
        """One of them, by name."""
        value: float | None = getattr(self, metric)
        return value


class Score(Agreement):
    """One task under one mask."""

    n: int
    interval: Interval | None = None
    """Of macro F1."""
    intervals: dict[Metric, Interval] | None = None
    majority: Agreement
    ece: float | None = None
    preference_bias: float | None = None
    note: str = ""

    def interval_of(self, metric: Metric) -> Interval | None:
        """The figure's interval, where it was written."""
        return (self.intervals or {}).get(metric, self.interval if metric == "macro_f1" else None)


class Mean(_Written):
    """Always saying the mean."""

    mae: float


class Rating(_Written):
    """A number under one mask."""

    n: int
    mae: float
    spearman: float
    mean: Mean


class Answered(_Written):
    """A model that answered; no hash where the server was not ours."""

    version: str
    sha256: str | None


class Measured(_Written):
    """One corpus, as `multimood eval` writes it."""

    corpus: str
    split: str
    data_sha256: str
    note: str = ""
    tasks: dict[str, dict[str, Score]]
    ratings: dict[str, dict[str, Rating]] = {}
    replies: dict[str, Any] = {}
    notes: dict[str, int] = {}
    models: dict[str, Answered] = {}


class Environment(_Written):
    """On what a training ran."""

    python: str
    packages: dict[str, str]
    processors: int
    seconds: float


class Trained(_Written):
    """A finished training's folder."""

    config: dict[str, Any]
    environment: Environment
    metrics: dict[str, Any]


class Batch(_Written):
    """A model under one batch size, as `benchmarks.models` writes it."""

    batch: int
    requests: int
    rows: int
    repeats: int
    p50_ms: float
    p95_ms: float
    per_s: float
    peak_mb: float


class Timed(_Written):
    """A model through Triton."""

    model: str
    sha256: str | None
    max_batch_size: int
    rows_each: int
    inputs: dict[str, list[int]]
    before_mb: float
    loaded_mb: float
    batches: list[Batch]


class Machine(_Written):
    """What timings depend on."""

    cores: int
    cpu: str
    memory_gib: int
    load_before: float
    date: str


class Served(_Written):
    """The models through Triton."""

    machine: Machine
    models: list[Timed]


class Published(_ByHand):
    """What others reported, in percent."""

    who: str
    value: str
    source: str = ""


class Goal(_ByHand):
    """What was to be reached, in percent or points: exactly one of the last three."""

    about: str
    corpus: str
    task: str
    mask: str = "full"
    metric: Metric
    note: str = ""
    published: tuple[Published, ...] = ()
    above: float | None = None
    """More than so much."""
    over_best_single: float | None = None
    """So many points more than the best modality alone."""
    worst_within: float | None = None
    """No mask is further than so many points below `mask`."""

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if sum(bound is not None for bound in (self.above, self.over_best_single, self.worst_within)) != 1:
            raise ValueError("give exactly one of above, over_best_single, worst_within")
        return self


class Goals(_ByHand):
    """goals.toml."""

    goal: tuple[Goal, ...]


class Trial(_ByHand):
    """What was tried and dropped."""

    part: str
    """Of the system: text, audio, ..."""
    what: str
    figure: str
    beside: str
    """The figure of what was kept."""
    why: str


class Tried(_ByHand):
    """tried.toml."""

    tried: tuple[Trial, ...]
