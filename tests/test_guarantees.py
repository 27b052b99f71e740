"""The page of guarantees names proofs that exist."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGES = sorted((TESTS.parent / "docs").glob("*.md"))
NAMED = re.compile(r"\btest_[a-z0-9_]+\b(?!\.py)")
FILES = re.compile(r"\btest_[a-z0-9_]+\.py\b")
ROW = re.compile(r"^\|(.+)\|$", re.MULTILINE)


@cache
def defined() -> Counter[str]:
    return Counter(
        node.name
        for file in TESTS.glob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_proof_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    tests = defined()
    for name in NAMED.findall(text):
        assert tests[name] == 1, f"{page.name}: {name} stands {tests[name]} times in tests/"
    for name in FILES.findall(text):
        assert (TESTS / name).is_file(), f"{page.name}: no {name}"


def test_every_promise_has_a_proof() -> None:
    text = (TESTS.parent / "docs" / "guarantees.md").read_text("utf-8")
    rows = [row.split("|") for row in ROW.findall(text)]
    promises = [row for row in rows if "---" not in row[0] and row[1].strip() != "Proof"]
    assert len(promises) > 25
    for row in promises:
        assert NAMED.search(row[1]), f"no proof: {row[0].strip()}"
