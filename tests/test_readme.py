"""What the README shows works."""

import re
from pathlib import Path

import pytest
import spacy
from thinc.api import Config

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BACKBONE = "backbones/minilm-l6"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_readme_ten_lines(backbone, capsys):
    code = next(block for block in blocks("python") if "import spacy" in block)
    exec(code.replace(BACKBONE, str(backbone)), {})
    printed = capsys.readouterr().out
    assert "'cardiology'" in printed and "'reason'" in printed


def test_readme_rule_is_exchanged_and_saved(backbone, tmp_path, monkeypatch):
    from util import make_nlp

    monkeypatch.chdir(tmp_path)
    Path("training/mine").mkdir(parents=True)
    make_nlp(backbone, exit={"@misc": "spacy-epee.EntropyPatience.v1", "patience": 2}).to_disk("training/mine/model-best")
    exec(next(block for block in blocks("python") if "spacy.load" in block), {"spacy": spacy})
    assert list(spacy.load("faster").get_pipe("epee_textcat").exit.rules) == ["settled", "late"]


def test_readme_settings_are_the_defaults(backbone):
    block = next(block for block in blocks("ini") if "factory" in block)
    shown = Config().from_str("[components]\n" + re.sub(r" +#.*", "", block))["components"]["epee_textcat"]
    nlp = spacy.blank("en")
    nlp.add_pipe("epee_textcat")
    defaults = nlp.config["components"]["epee_textcat"]

    def compare(part, whole, path):
        for key, value in part.items():
            if isinstance(value, dict):
                compare(value, whole[key], f"{path}.{key}")
            elif key != "name":
                assert whole[key] == value, f"{path}.{key}"

    compare(shown, defaults, "epee_textcat")


@pytest.mark.parametrize("name", re.findall(r"configs/\w+\.cfg", README))
def test_readme_configs_exist(name):
    assert (Path(__file__).parent.parent / name).exists()
