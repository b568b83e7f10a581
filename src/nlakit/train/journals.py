"""What reinforcement learning writes down while it runs: its metrics, samples for people to read, and alarms.

::

    metrics.jsonl      a line for each step
    samples.jsonl      sampled explanations with contexts and errors
    alarms.jsonl       what looked wrong and what to do about it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Self

from nlakit.progress import Progress, Task
from nlakit.runs import MetricsWriter, RunFolder, read_metrics
from nlakit.train.alarms import new_alarms


@dataclass(frozen=True)
class Journals:
    """The three files of a stage, and what is said on the console meanwhile."""

    metrics: MetricsWriter
    samples: MetricsWriter
    alarms: MetricsWriter
    history: list[dict[str, Any]]
    """Every line of the stage in ``metrics.jsonl`` so far."""
    active: set[str]
    """Alarms that were raised and have not ended; kept with the checkpoints, so that a resumed run does not repeat them."""
    progress: Progress
    task: Task

    @classmethod
    @contextmanager
    def open(
        cls, folder: RunFolder, stage: str, progress: Progress, *, after: int, steps: int, active: list[str]
    ) -> Iterator[Self]:
        """Open the files of a stage without the lines past step ``after``, which a killed run left behind its checkpoint."""
        with ExitStack() as files:
            metrics, samples, alarms = (
                files.enter_context(MetricsWriter(folder.path / name, stage))
                for name in ("metrics.jsonl", "samples.jsonl", "alarms.jsonl")
            )
            for writer in (metrics, samples, alarms):
                writer.truncate_after(after)
            task = files.enter_context(progress.task(stage, total=steps))
            task.update(max(0, after))
            history = read_metrics(folder.path / "metrics.jsonl", stage)
            yield cls(metrics, samples, alarms, history, set(active), progress, task)

    def record(self, step: int, line: Mapping[str, Any]) -> None:
        """Write the metrics of a step, raise the alarms that they give cause for, and show how far the stage is."""
        self.metrics.write(step, line)
        self.history.append({"step": step, **line})
        for alarm in new_alarms(self.history, self.active):
            self.alarms.write(step, {"alarm": alarm.name, "message": alarm.message})
            self.progress.say(f"ALARM at step {step}: {alarm.message}")
        self.task.update(step, self._latest())

    def sync(self) -> None:
        """Force what is written to the disk; call before each checkpoint."""
        for writer in (self.metrics, self.samples, self.alarms):
            writer.sync()

    def _latest(self) -> str:
        """Say the FVE of the last batch and of the last validation."""
        parts = []
        for key, name in (("fve_batch", "FVE"), ("fve_validation", "validation")):
            found = next((line[key] for line in reversed(self.history) if line.get(key) is not None), None)
            if found is not None:
                parts.append(f"{name} {found:.3f}")
        return ", ".join(parts)
