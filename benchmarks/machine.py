"""What figures depend on beside the model: the machine, the versions, and the command."""

import sys

from spacy_epee.benchmark.run import describe_machine


def machine() -> str:
    """RETURNS (str): The processor, how much of it is used, and the versions."""
    about = describe_machine()
    named = ("torch", "transformers", "spacy", "onnxruntime")
    versions = [f"{name} {about['versions'][name]}" for name in named if name in about["versions"]]
    cores, threads = f"{about['cores']} cores", f"{about['threads']} threads"
    return ", ".join([about["cpu"], cores, threads, f"Python {about['python']}", *versions])


def command() -> str:
    """RETURNS (str): The command that runs."""
    return " ".join(["python", *sys.argv])
