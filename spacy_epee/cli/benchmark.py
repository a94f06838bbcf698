"""`python -m spacy epee benchmark`"""

from pathlib import Path
from typing import Any, Dict, Optional

from spacy.cli._util import import_code, setup_gpu
from spacy.util import load_model
from typer import Argument, Option
from wasabi import Printer

from ..benchmark.front.run import CONTESTANTS as FRONT
from ..benchmark.front.run import Plan, choose_contestants
from ..benchmark.networks import pooled_heads
from ..benchmark.run import benchmark
from ..benchmark.targets import CONTESTANTS, choose
from ..evaluation.compare import find_component
from . import epee
from .data import read_data, read_sizes
from .front import load_picture, run_front, save_picture, show_front
from .options import BatchSizesOpt, CodeOpt, ComponentOpt, GpuOpt, LimitOpt, OutputOpt, RuleOpt, SeedOpt, ThresholdOpt
from .outputs import check_file, write_figures
from .rules import set_rules
from .tables import SPREAD, change, percent, print_table, share, tell, tell_slowdown, times


@epee.command("benchmark")
def benchmark_cli(
    model: str = Argument(..., help="Pipeline with an early-exiting text classifier: a folder or an installed package"),
    data: Path = Argument(..., help="Annotated documents: .spacy, .jsonl or .jsonl.gz"),
    contestants: Optional[str] = Option(
        None, "--contestants", help=f"Who takes part, with commas: {', '.join(CONTESTANTS)}; with --front: {', '.join(FRONT)}"
    ),
    compiled: bool = Option(False, "--compiled", help="Add torch.compile, which needs a C++ compiler and minutes"),
    base: Optional[str] = Option(None, "--base", help="The contestant that speed-ups are relative to; if not named, the first"),
    cats: Optional[str] = Option(None, "--cats", help="Field with labels of documents in a JSONL file: 'cats'"),
    component: ComponentOpt = None,
    batch_sizes: BatchSizesOpt = "1,8,32",
    rounds: int = Option(5, "--rounds", "-r", min=1, help="How often each is timed, in turns"),
    memory: bool = Option(False, "--memory", help="Measure memory too, each contestant in a process of its own (Linux)"),
    rule: RuleOpt = None,
    threshold: ThresholdOpt = None,
    limit: LimitOpt = 0,
    seed: SeedOpt = 0,
    front: bool = Option(False, "--front", help="Compare with all simpler models instead: score against seconds"),
    train: Optional[Path] = Option(None, "--train", help="With --front: documents that simpler models learn from"),
    dev: Optional[Path] = Option(None, "--dev", help="With --front: documents that depths, rules and thresholds are chosen on"),
    picture: Optional[Path] = Option(None, "--picture", help="With --front: PNG file for the picture"),
    output: OutputOpt = None,
    code: CodeOpt = None,
    gpu_id: GpuOpt = -1,
):
    """Compare a text classifier with itself in spacy-transformers, PyTorch, ONNX Runtime and OpenVINO: score and speed."""
    msg = Printer()
    try:
        sizes = read_sizes(batch_sizes)
        given = {"--train": train, "--dev": dev, "--picture": picture}
        check_front(
            front, given, {"--compiled": compiled, "--base": base, "--memory": memory, "--rule": rule, "--threshold": threshold}
        )
        names = choose_contestants(contestants) if front else choose(contestants, compiled)
        check_file("--output", output, inputs=[data, train, dev])
        check_file("--picture", picture, inputs=[data, train, dev, output])
        draw = None if picture is None else load_picture()
        import_code(code)
        setup_gpu(gpu_id)
        if train is not None and dev is not None:
            tell_slowdown(gpu_id, msg)
            plan = Plan(names, sizes, rounds, tell=msg.info)
            found = run_front(model, component, {"train": train, "dev": dev, "test": data}, cats, plan, limit, seed)
            show_front(found, msg)
            write_figures(output, found, msg)
            if picture is not None:
                save_picture(draw, picture, data.stem, found, msg)
            return
        nlp = load_model(model)
        pipe = find_component(nlp, component)
        pooled_heads(pipe)
        if pipe.slot().heads(pipe.model).lexical is not None:
            msg.info("What words say counts in this pipeline alone: the networks of other libraries answer by states")
        set_rules(pipe, rule, threshold)
        examples, fewest = read_data(nlp, pipe, data, cats, limit=limit, seed=seed)
        tell_slowdown(gpu_id, msg)
        report = benchmark(model, pipe, examples, names, base or names[0], sizes, rounds, memory, progress=True, fewest=fewest)
        show(report, msg)
        write_figures(output, report, msg)
    except (ValueError, OSError) as error:
        msg.fail(str(error), exits=1)


def check_front(front: bool, given: Dict[str, Any], others: Dict[str, Any]) -> None:
    """Refuse options that mean nothing together.

    front (bool): Whether the front is asked for.
    given (Dict[str, Any]): The options that only it has.
    others (Dict[str, Any]): Those that it has not.
    RAISES ValueError: There are some.
    """
    if not front and any(given.values()):
        raise ValueError(f"{next(name for name, value in given.items() if value)} is for --front; add that")
    if front and any(others.values()):
        raise ValueError(f"{next(name for name, value in others.items() if value)} is not for --front; leave it out")
    missing = [name for name in ("--train", "--dev") if given[name] is None]
    if front and missing:
        raise ValueError(
            f"--front needs {' and '.join(missing)}: simpler models learn from the documents of --train, and depths, rules and "
            "thresholds are chosen on those of --dev"
        )


def show(report: Dict[str, Any], msg: Printer) -> None:
    """Print a benchmark.

    report (Dict[str, Any]): What `benchmark` returned.
    msg (Printer): Where to.
    """
    contestants = report["contestants"]
    for name, reason in report["skipped"].items():
        msg.warn(f"Without {name}: {reason}")
    desc = contestants[report["base"]]["score_desc"]
    rows = [
        [
            figures["title"],
            percent(figures["score"]),
            change(figures["difference"], figures["spread"]),
            share(1 - figures["same_answers"]),
            times(figures.get("fewer_layers")),
            f"{figures['load_seconds']:.2f}",
        ]
        for figures in contestants.values()
    ]
    title = contestants[report["base"]]["title"]
    header = ["", f"Score ({desc})", f"Against '{title}'", "Other answers than at full depth", "Fewer layers", "Seconds to load"]
    print_table(msg, rows, header)
    for size in contestants[report["base"]]["batches"]:
        rows = []
        for figures in contestants.values():
            timed = figures["batches"][size]
            spread = f"{timed['fastest']:.2f} to {timed['slowest']:.2f}"
            speed = [f"{timed['docs_per_second']:.1f}", f"{timed['milliseconds']:.2f}", spread, times(timed["speedup"])]
            realised = "-" if "realised" not in timed else f"{timed['realised']:.2f}"
            rows.append([figures["title"], percent(figures["score"]), *speed, realised])
        header = [f"Batch {size}", "Score", "Docs/s", "Ms a document", "Fastest to slowest round", "Speed-up", "Of fewer layers"]
        print_table(msg, rows, header)
    if any("memory_mb" in figures for figures in contestants.values()):
        rows = [
            [figures["title"], "-" if figures["memory_mb"] is None else f"{figures['memory_mb']:.0f}"]
            for figures in contestants.values()
        ]
        print_table(msg, rows, ["", "MB at the peak, above the loaded model"])
    machine = report["machine"]
    msg.info(
        f"{report['documents']} documents, medians of {report['rounds']} rounds in turns, tokenization included; speed-ups "
        f"relative to '{title}'"
    )
    msg.info(SPREAD)
    tell({**report, "score_desc": desc}, msg)
    msg.info(f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads")
    for figures in contestants.values():
        if figures["note"]:
            msg.text(figures["note"])
