"""Arguments and options that several commands have. Each command says its own defaults."""

from pathlib import Path
from typing import Annotated, List, Optional

from typer import Argument, Option

ModelArg = Annotated[str, Argument(help="Pipeline: a folder or an installed package")]
CatsOpt = Annotated[Optional[str], Option("--cats", help="Fields with labels of documents in a JSONL file, with commas: 'cats'")]
EntitiesOpt = Annotated[str, Option("--entities", "-e", help="Relations and events: 'gold', those of the data, or 'predicted'")]
SpansKeyOpt = Annotated[Optional[str], Option("--spans-key", "-k", help="Span group of the entities, if not the component's")]
ComponentOpt = Annotated[Optional[str], Option("--component", "-p", help="The early-exiting component, if there are several")]
TaskOpt = Annotated[Optional[str], Option("--task", help="The task, if the component has several")]
BatchSizesOpt = Annotated[str, Option("--batch-sizes", "-b", help="Batch sizes to time at, with commas")]
RoundsOpt = Annotated[int, Option("--rounds", "-r", min=1, help="How often each is timed")]
TimeOpt = Annotated[bool, Option("--time/--no-time", help="Time the settings on the Pareto front")]
TimedOpt = Annotated[int, Option("--timed", min=1, help="How many documents to time on")]
StepsOpt = Annotated[int, Option("--steps", min=2, help="How many values of each threshold are tried")]
TrainOpt = Annotated[
    Optional[Path], Option("--train", help="Labelled documents from which a linear model learns, to be seen in the same table")
]
RuleOpt = Annotated[
    Optional[List[str]],
    Option(
        "--rule",
        help='Another exit rule: "EntropyPatience(entropy=0.1, patience=4)", "FixedDepth(4)", "none"; of one task "TASK=RULE"',
    ),
]
ThresholdOpt = Annotated[
    Optional[str],
    Option("--threshold", help="Another threshold of the exit rule: the first of its settings, such as the entropy or the layer"),
]
LimitOpt = Annotated[
    int,
    Option(
        "--limit", "-n", min=0, help="The most documents, drawn by chance with their labels in about the same shares; 0 for all"
    ),
]
SeedOpt = Annotated[int, Option("--seed", help="Seed of the draw of documents, with --limit")]
OutputOpt = Annotated[Optional[Path], Option("--output", "-o", help="JSON file for the figures")]
CodeOpt = Annotated[Optional[Path], Option("--code", "-c", help="Python file with more registered functions")]
GpuOpt = Annotated[int, Option("--gpu-id", "-g", help="GPU to run on; -1 for the CPU")]
