"""The examples of docs/signing.md sign the test vectors as imgserve does, in every language that is installed."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imgserve.transform import canonical_text, sign, verify
from tests.prefork import PATIENCE

DOCS = Path(__file__).parents[2] / "docs"
VECTORS: list[dict[str, str]] = json.loads((DOCS / "signing-vectors.json").read_text(encoding="utf-8"))
GO_START = 'package main\nimport ("fmt"; "os")\n'
GO_END = "\nfunc main() { for a := os.Args[1:]; len(a) > 2; a = a[3:] { fmt.Println(signedURL(a[0], a[1], a[2])) } }\n"
PHP_END = "for ($i = 1; $i < $argc; $i += 3) echo signed_url($argv[$i], $argv[$i + 1], $argv[$i + 2]), PHP_EOL;"
PYTHON_END = "for start in range(1, len(sys.argv), 3): print(signed_url(*sys.argv[start : start + 3]))"
RUNS = {
    "js": (["node"], "", "for (let a = process.argv.slice(2); a.length; a = a.slice(3)) console.log(signedUrl(...a));"),
    "php": (["php"], "<?php\n", PHP_END),
    "ruby": (["ruby"], "", "ARGV.each_slice(3) { |arguments| puts signed_url(*arguments) }"),
    "go": (["go", "run"], GO_START, GO_END),
    "python": ([sys.executable], "import sys\n", PYTHON_END),
    "bash": (["bash"], "", 'while [ $# -gt 0 ]; do signed_url "$1" "$2" "$3"; shift 3; done'),
}  # fmt: skip
"""For each language its command, and what makes of a function a program that prints a URL for three arguments each."""


def example(language: str) -> str:
    """Return the function of a language, which is its longest example."""
    document = (DOCS / "signing.md").read_text(encoding="utf-8")
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```", document, re.DOTALL | re.MULTILINE)
    return max(blocks, key=len)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["about"])
def test_the_vectors_are_right(vector: dict[str, str]) -> None:
    secret, path, query = vector["secret"], vector["path"], vector["query"]
    assert canonical_text(path, query) == vector["text"]
    assert sign(secret, path, query) == vector["signature"]
    signed = "&".join(filter(None, (query, f"s={vector['signature']}")))
    assert verify([secret], path.encode(), signed.encode()) is not None


@pytest.mark.parametrize("language", RUNS)
def test_the_example_of_a_language_signs_every_vector(language: str, tmp_path: Path) -> None:
    command, start, end = RUNS[language]
    if shutil.which(command[0]) is None or shutil.which("openssl") is None:
        pytest.skip(f"{command[0]} is not installed")
    program = tmp_path / f"example.{language}"
    program.write_text(start + example(language) + end, encoding="utf-8")
    arguments = [vector[name] for vector in VECTORS for name in ("secret", "path", "query")]
    done = subprocess.run(
        [*command, str(program), *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    expected = [
        f"{vector['path']}?{'&'.join(filter(None, (vector['query'], 'signature=' + vector['signature'])))}"
        for vector in VECTORS
    ]
    assert (done.stdout.splitlines(), done.stderr, done.returncode) == (expected, "", 0)
