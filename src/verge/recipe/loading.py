"""Recipes from files and text, in YAML or JSON, and back to YAML (contract 1.1)."""

from __future__ import annotations

from pathlib import Path

from verge.recipe import documents, errors, model, reading, writing

MAX_BUILT_BYTES = 16_000  # what the tooling of AWS refuses to build or publish
SUFFIXES = (".json", ".yaml", ".yml")

load_yaml = documents.load_yaml
load_json = documents.load_json
to_document = writing.to_document


def load_recipe(path: Path | str, *, strict: bool = False) -> model.Recipe:
    """Return the recipe in a file; the error of a bad one begins with the file's name."""
    source = str(path)
    try:
        with Path(path).open("rb") as file:
            content = file.read(documents.MAX_BYTES + 1)
    except OSError as error:
        reason = f"cannot read the recipe: {error.strerror or error}"
        raise errors.RecipeError(reason, source=source) from error
    return parse_recipe(content, source=source, strict=strict)


def parse_recipe(
    text: str | bytes, *, source: str = "recipe", strict: bool = False
) -> model.Recipe:
    """Return the recipe in the text, which is JSON if it begins with a brace, else YAML.

    `strict` is for building and refuses what a device tolerates: unknown keys, more than 16,000
    bytes and what reading.read_recipe lists.
    """
    content = documents.decode(text, source)
    if strict and (size := len(content.encode())) > MAX_BUILT_BYTES:
        reason = f"cannot use a recipe of {size} bytes: {MAX_BUILT_BYTES} is the most"
        raise errors.RecipeError(reason, source=source)
    document = _load(content, source)
    if document is None:
        raise errors.RecipeError("cannot find a recipe: the text is empty", source=source)
    try:
        return reading.read_recipe(document, strict=strict)
    except errors.RecipeError as error:
        raise error.located(source=source) from None


def _load(content: str, source: str) -> object:
    if content.lstrip().startswith("{"):
        return documents.load_json(content, source=source)
    return documents.load_yaml(content, source=source)


def dump_recipe(recipe: model.Recipe) -> str:
    """Return the recipe as YAML, which reads back as the same recipe."""
    return documents.dump_yaml(writing.to_document(recipe))
