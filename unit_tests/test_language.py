"""The project is written in plain, current English: messages, help texts, documents, comments and test names."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PRODUCTS: Final = ("destination_heap_analytics", "courier/heap_courier", "sandbox/heap_sandbox")
SOURCES: Final = (
    *PRODUCTS,
    "benchmarks",
    "scripts",
    *(f"{folder}{kind}_tests" for folder in ("", "courier/", "sandbox/") for kind in ("unit", "integration")),
)
WORDS: Final = {
    "mend": r"mend(s|ed|ing)?",
    "told": r"told(?! otherwise| apart)",
    "anew": r"anew",
    "in vain": r"in vain",
    "whoever": r"whoever",
    "goes on": r"go(es|ing)? on|went on",
    "is no ...": r"(?<!there )(is|are) no(?! (longer|more)\b)(?= \w)",
    "as it has to be": r"as (it|they) (has|have) to be",
    "all the same": r"all the same(?! \w)",
    "as it came": r"as (it|they) came",
    "signs of life": r"signs? of life",
    "stands in (is in)": r"stands? in(?! for\b)(?= \w)",
    "takes (accepts)": r"(?-i:Heap|Delta) (does not take|takes?)(?! (to|longer)\b)",
    "passed over (set aside)": r"pass(ed|es|ing) over",
    "where (if)": r"(Raises \w+|None|also) where (it|there|that|one|none|no|nothing)|where there (is|are) (none|no)",
}
ANY_WORD: Final = re.compile(rf"\b({'|'.join(WORDS.values())})\b", re.IGNORECASE)


def files(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--", *patterns],  # noqa: S607  (git of this machine)
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines()]


def strings(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each string that is not a docstring, the parts of an f-string together."""
    tree = ast.parse(source)
    inner: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            inner.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            inner.update(map(id, node.values))
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "`x`" for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.lineno, node.value


def prose(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of comments, docstrings (line by line), and names of tests as words."""
    if ANY_WORD.search(source):  # otherwise no comment has one, and tokenizing is slow
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.lineno, node.name.replace("_", " ")
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from enumerate(node.value.value.splitlines(), node.lineno)


def found(text: str) -> list[str]:
    if not ANY_WORD.search(text):  # nearly always: one search instead of one per word
        return []
    return [word for word, pattern in WORDS.items() if re.search(rf"\b({pattern})\b", text, re.IGNORECASE)]


@pytest.mark.parametrize("product", PRODUCTS)
def test_no_message_has_a_word_to_avoid(product: str) -> None:
    """Every string of the program, whether it is shown or not."""
    odd = [
        f"{path.relative_to(ROOT)}:{line}: {word}: {text}"
        for path in files(f"{product}/**.py")
        for line, text in strings(path.read_text(encoding="utf-8"))
        for word in found(text)
    ]
    assert odd == []


@pytest.mark.parametrize("folder", SOURCES)
def test_no_comment_docstring_or_test_name_has_a_word_to_avoid(folder: str) -> None:
    """Maintainers read these."""
    sources = files(f"{folder}/**.py")
    assert sources
    odd = [
        f"{path.relative_to(ROOT)}:{line}: {word}: {text}"
        for path in sources
        for line, text in prose(path.read_text(encoding="utf-8"))
        for word in found(text)
    ]
    assert odd == []


def test_no_document_has_a_word_to_avoid() -> None:
    """Nor have pages and templates."""
    odd = [
        f"{path.relative_to(ROOT)}:{number}: {word}: {line}"
        for path in files("*.md", "*.html", "*.yaml", "*/spec.json")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for word in found(line)
    ]
    assert odd == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Mend the feed.", "mend"),
        ("`x` is no Avro file", "is no ..."),
        ("There is no feed `x`", None),
        ("it is no longer there", None),
        ("It went on without them.", "goes on"),
        ("Columns of one name are told apart.", None),
        ("It lands all the same.", "all the same"),
        ("All the same rows", None),
        ("Raises SetupError where there is none.", "where (if)"),
        ("The folder where it is", None),
        ("The name stands in quotes.", "stands in (is in)"),
        ("A mock that stands in for Heap", None),
        ("longer than Heap takes", "takes (accepts)"),
        ("However long Heap takes to delete", None),
        ("Passed over are rows", "passed over (set aside)"),
    ],
)
def test_a_word_is_found_only_in_its_odd_sense(text: str, word: str | None) -> None:
    assert found(text) == ([word] if word else [])
