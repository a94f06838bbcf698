"""Reading the pages of the documentation, and running the blocks of code on them."""

import ast
import importlib.util
import inspect
import json
import re
import shlex
import shutil
from configparser import ConfigParser
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple

import pytest
import spacy
import typer.main
import weasel.cli
from spacy.cli._util import app, parse_config_overrides
from spacy.schemas import ConfigSchemaTraining
from spacy.util import load_config, load_model_from_config, registry
from thinc.api import Config

from spacy_epee.cli import epee

ROOT = Path(__file__).parent.parent
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
NOTES = ["Palpitations since the weekend.", "Low mood for two months.", "Chest tightness on stairs, ECG normal."]
OURS = typer.main.get_group(epee)
SPACYS = typer.main.get_command(app)


class Block(NamedTuple):
    """A block of code.

    language (str): What is said behind the first fence.
    code (str): What is in it.
    where (str): The page and the line.
    """

    language: str
    code: str
    where: str


def read_page(name: str) -> str:
    """RETURNS (str): The text of a page."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, *languages: str) -> List[Block]:
    """RETURNS (List[Block]): The blocks of a page, of all languages if none is named."""
    text = read_page(name)
    found = re.finditer(r"^```(\S*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    all_blocks = [Block(match[1], match[2], f"{name}, line {text[: match.start()].count(chr(10)) + 1}") for match in found]
    return [block for block in all_blocks if not languages or block.language in languages]


def prose(name: str) -> str:
    """RETURNS (str): A page without its blocks."""
    return re.sub(r"^```\S*\n.*?^```$", "", read_page(name), flags=re.DOTALL | re.MULTILINE)


def section(name: str, title: str) -> str:
    """RETURNS (str): What is under a title, up to the next one that is as high."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^\1 |\Z)", read_page(name), flags=re.DOTALL | re.MULTILINE)
    assert found, f"{name} has no section '{title}'"
    return found[2]


def load_hooks() -> Any:
    """RETURNS (module): What makes pages from the code when the site is built."""
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BESIDE = "docs/pipelines.md"
"""The page about other packages, which are not here. What is on it runs in tests/integration, section by section."""


def run_blocks(name: str, title: str = "") -> Dict[str, Any]:
    """Run or read all blocks of a page, or of a section of it, in their order, in the current folder.

    RETURNS (Dict[str, Any]): The names that its Python blocks have made.
    """
    namespace: Dict[str, Any] = {"__name__": "__main__"}
    spacy.util.fix_random_seed(0)
    for block in blocks(name):
        if title and block.code not in section(name, title):
            continue
        assert block.language in RUN, f"{block.where}: nothing runs a block of '{block.language}'"
        try:
            RUN[block.language](block.code, namespace)
        except Exception as error:
            raise AssertionError(f"{block.where}: {type(error).__name__}: {error}") from error
    return namespace


def run_python(code: str, namespace: Dict[str, Any]) -> None:
    exec(compile(code, "shown.py", "exec", dont_inherit=True), namespace)


def run_ini(code: str, namespace: Dict[str, Any]) -> None:
    """Make a pipeline of a part of a config, all that is left out being filled in."""
    config = read_ini(code)
    components = config.setdefault("components", {})
    for name, block in components.items():
        block.setdefault("factory", name)
    config["nlp"] = {"lang": "en", "pipeline": list(components)}
    nlp = load_model_from_config(config, auto_fill=True, validate=True)
    assert nlp.pipe_names == list(components)
    registry.resolve(nlp.config.interpolate()["training"], schema=ConfigSchemaTraining)


def read_ini(code: str) -> Config:
    """RETURNS (Config): A part of a config. The sections that its own lie in are added, as a user has them."""
    assert not re.search(r"=.* [#;]", code), "spaCy takes a comment behind a value for a part of it"
    titles = re.findall(r"^\[(.+)\]$", code, flags=re.MULTILINE)
    above = {".".join(title.split(".")[:depth]) for title in titles for depth in range(1, title.count(".") + 1)}
    return Config().from_str("".join(f"[{title}]\n" for title in sorted(above - {*titles})) + code)


def run_json(code: str, namespace: Dict[str, Any]) -> None:
    """Read a row of data, which may be on several lines to be seen."""
    row = json.loads(code)
    name = "ImageReader" if "image" in row else "EntityReader" if "ents" in row else "JsonlReader"
    Path("shown.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    [eg] = registry.readers.get(f"spacy-epee.{name}.v1")("shown.jsonl")(spacy.blank("en"))
    assert eg.reference.text == row["text"]
    assert len(eg.reference.ents) == len(row.get("ents", [])) and bool(eg.reference.cats) == ("cats" in row)
    for field in ("relations", "events"):
        if field in row:
            assert len(eg.reference._.get(field)) == len(row[field])


def run_toml(code: str, namespace: Dict[str, Any]) -> None:
    """Read entry points of a package that would hold the code of the page."""
    tomllib = importlib.import_module("tomllib") if importlib.util.find_spec("tomllib") else None
    groups = tomllib.loads(code)["project"]["entry-points"] if tomllib else {}  # Python 3.10 cannot read it
    own = {f"spacy_epee_{name}" for name in ("families", "runtimes", "compressors", "formats")}
    assert set(groups) <= {"spacy_misc", "spacy_architectures", "spacy_scorers", *own}
    for entries in groups.values():
        for value in entries.values():
            assert value.split(":")[1] in namespace


def run_text(code: str, namespace: Dict[str, Any]) -> None:
    """Look for a message in the code. What differs is written as an ellipsis."""
    message = " ".join(code.split())
    assert any(message in template for template in messages()), f"no error or warning reads: {message}"


@lru_cache(maxsize=None)
def messages() -> List[str]:
    """RETURNS (List[str]): All strings in the package, an ellipsis in place of what is put into them."""
    found = []
    for file in (ROOT / "spacy_epee").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            if all(isinstance(part, (ast.Constant, ast.FormattedValue)) for part in parts):
                texts = [part.value if isinstance(part, ast.Constant) else "…" for part in parts]
                found += ["".join(texts)] if all(isinstance(text, str) for text in texts) else []
    return found


def run_bash(code: str, namespace: Dict[str, Any]) -> None:
    """Check that commands, options, files and settings are there. Nothing is started."""
    for words in commands(code):
        starts = [start for start in COMMANDS if words[: len(start)] == list(start)]
        assert starts, f"nothing knows the command '{' '.join(words)}'"
        COMMANDS[max(starts, key=len)](words[len(max(starts, key=len)) :])


def commands(code: str) -> Iterator[List[str]]:
    """YIELDS (List[str]): The words of each command."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


def options_of(command: Any) -> List[str]:
    """RETURNS (List[str]): The options of a command of the command line."""
    return [name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)]


def check_epee(words: List[str]) -> None:
    command = OURS.get_command(None, words[0])
    assert command is not None
    command.make_context(words[0], words[1:])


def check_train(words: List[str]) -> None:
    context = SPACYS.commands["train"].make_context("train", words, allow_extra_args=True, ignore_unknown_options=True)
    config, known = ROOT / context.params["config_path"], settings_of(context.params["config_path"])
    assert config.exists()
    for name in parse_config_overrides(context.args):
        assert name in known, f"{config.name} has no setting '{name}'"


@lru_cache(maxsize=None)
def settings_of(config: Path) -> List[str]:
    """RETURNS (List[str]): Every setting of a config, with dots."""

    def walk(block: Dict[str, Any], path: str) -> Iterator[str]:
        for name, value in block.items():
            if isinstance(value, dict):
                yield from walk(value, f"{path}{name}.")
            yield f"{path}{name}"

    return list(walk(load_config(ROOT / config), ""))


def check_project(words: List[str]) -> None:
    context = typer.main.get_command(weasel.cli.app).commands[words[0]].make_context(words[0], words[1:])
    if words[0] == "run":
        assert context.params["subcommand"] in project_commands()


@lru_cache(maxsize=None)
def project_commands() -> List[str]:
    """RETURNS (List[str]): The commands and workflows of the spaCy project."""
    text = (ROOT / "project.yml").read_text(encoding="utf-8")
    workflows = re.findall(r"^  (\w+): \[", text.split("\nworkflows:")[1].split("\ncommands:")[0], flags=re.MULTILINE)
    return [*re.findall(r"^  - name: (\S+)", text, flags=re.MULTILINE), *workflows]


def check_script(words: List[str]) -> None:
    tree = ast.parse((ROOT / words[0]).read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    main = functions["main"] if "main" in functions else functions[words[1]]  # one command, or the first word names one
    known = {argument.arg for argument in main.args.args}
    for word in words[1:]:
        assert not word.startswith("-") or word.strip("-").replace("-", "_") in known, f"{words[0]} has no option {word}"


def check_pip(words: List[str]) -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    for extra in ",".join(re.findall(r"\[([\w,]+)\]", " ".join(words))).split(","):
        assert not extra or extra in setup["options.extras_require"], extra
    tried = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert words[-1] == "." or re.match(r"(\.|spacy_epee)\[|torch$|https://|packages/", words[-1]) or words[-1] in tried


def check_package(words: List[str]) -> None:
    command = SPACYS.get_command(None, "package")
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known and Path(words[0]).exists()


def check_make(words: List[str]) -> None:
    for word in words:
        assert "=" in word or re.search(rf"^{word}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


def check_pytest(words: List[str]) -> None:
    paths = [word for word in words if word.startswith("tests")]
    assert paths and all((ROOT / path).exists() for path in paths)


def check_curl(words: List[str]) -> None:
    """Send what is sent to a service of the pipeline that is there."""
    testclient = pytest.importorskip("fastapi.testclient")
    pytest.importorskip("swagger_ui_bundle")
    from spacy_epee.service.app import Service, make_app
    from spacy_epee.service.models import Models

    _, path = words[-1].removeprefix("http://").split("/", 1)
    headers = dict([words[words.index("-H") + 1].split(": ")] if "-H" in words else [])
    body = words[words.index("-d") + 1] if "-d" in words else ""
    with testclient.TestClient(make_app(Service(Models("tuned"), reload=True))) as client:
        answer = client.post(f"/{path}", content=body, headers=headers)
    assert answer.status_code == 200, answer.text


def check_docker(words: List[str]) -> None:
    assert "-f" not in words or (ROOT / words[words.index("-f") + 1]).exists()


COMMANDS: Dict[Any, Callable[[List[str]], None]] = {
    ("python", "-m", "spacy", "epee"): check_epee,
    ("python", "-m", "spacy", "train"): check_train,
    ("python", "-m", "spacy", "project"): check_project,
    ("python", "-m", "pytest"): check_pytest,
    ("python",): check_script,
    ("python", "-m", "spacy", "package"): check_package,
    ("pip", "install"): check_pip,
    ("pip", "freeze"): lambda words: None,
    ("pip", "wheel"): check_pip,
    ("make",): check_make,
    ("curl",): check_curl,
    ("docker", "build"): check_docker,
    ("docker", "run"): check_docker,
}

RUN: Dict[str, Callable[[str, Dict[str, Any]], None]] = {
    "python": run_python,
    "ini": run_ini,
    "json": run_json,
    "toml": run_toml,
    "text": run_text,
    "bash": run_bash,
}
"""What is done with a block of each language."""


def compare_with_defaults(block: Dict[str, Any], defaults: Dict[str, Any], where: str) -> None:
    """Check that settings are shown as they are if left out. Names, and labels of an example, are the user's own."""
    kind = next((key for key in block if key.startswith("@")), None)
    if kind is not None:
        assert defaults.get(kind, block[kind]) == block[kind], where
        own = inspect.signature(registry.get(kind[1:], block[kind])).parameters.values()
        defaults = {**{setting.name: setting.default for setting in own if setting.default is not setting.empty}, **defaults}
    for name, value in block.items():
        if isinstance(value, dict):
            compare_with_defaults(value, defaults.get(name) or {}, f"{where}.{name}")
        elif name not in ("factory", "name", "names", "labels", kind):
            assert defaults[name] == value, f"{where}.{name}"


def prepare(folder: Path, backbone: Path) -> Path:
    """Make what the pages name: backbones, trained pipelines and data, all tiny.

    folder (Path): Where to.
    backbone (Path): A tiny backbone.
    RETURNS (Path): The folder.
    """
    import events_util
    from images_util import make_image_backbone, make_image_nlp, make_pixels
    from joint_util import make_joint_nlp
    from PIL import Image
    from relations_util import make_relations_nlp
    from util import make_nlp

    labels = ("cardiology", "psychiatry", "surgery")
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copytree(backbone, folder / "backbones" / "minilm-l6")
    vit = make_image_backbone(folder / "backbones" / "vit-small")
    textcat = make_nlp(backbone, labels, exit={"@misc": "spacy-epee.EntropyPatience.v1", "patience": 2})
    for name in ("training/mine/model-best", "training/model-best", "tuned", "fast"):
        textcat.to_disk(folder / name)
    make_relations_nlp(backbone).to_disk(folder / "training/relations/model-best")
    events_util.make_events_nlp(backbone, events_util.TEXTS[:1], steps=60).to_disk(folder / "training/events/model-best")
    make_joint_nlp(backbone).to_disk(folder / "training/joint/model-best")
    make_image_nlp(vit).to_disk(folder / "training/pneumonia/model-best")
    (folder / "films").mkdir()
    Image.fromarray((make_pixels(1)[0] * 255).astype("uint8")).save(folder / "films" / "1.png")
    rows = [{"text": f"{text} {i}", "cats": labels[i % len(labels)]} for i, text in enumerate(NOTES * 8)]
    for split in ("train", "dev", "test"):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder
