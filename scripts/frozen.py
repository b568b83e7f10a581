"""Writes the listings that freeze nlakit's surfaces: options, settings, public names.

Run ``make frozen`` after a wanted change and read the difference before committing it; a test compares
the listings in ``tests/frozen`` with the code.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator

from nlakit.serve.app import make_app
from nlakit.testing import tiny_pair
from scripts.docs import ROOT, commands

FOLDER = ROOT / "tests" / "frozen"

# Modules that strangers may import; the rest may change without notice.
PUBLIC_MODULES = (
    "card",
    "client",
    "config",
    "data/asking",
    "data/corpus",
    "data/store",
    "data/teachers",
    "errors",
    "explanations",
    "models/pair",
    "models/readings",
    "models/sites",
    "models/target",
    "plugins",
    "progress",
    "runs",
    "testing",
    "truth",
    "vectors",
)


def main() -> int:
    """Write every listing."""
    FOLDER.mkdir(exist_ok=True)
    for name, lines in listings().items():
        (FOLDER / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def listings() -> dict[str, list[str]]:
    """Return file name -> lines of every listing, as the code has them now."""
    return {
        "cli.txt": list(cli_lines()),
        "config.txt": list(config_lines()),
        "openapi.json": list(openapi_lines()),
        "public.txt": list(public_lines()),
    }


def cli_lines() -> Iterator[str]:
    """Yield a line for every command, argument and option, with its default."""
    for path, command in commands():
        yield " ".join(path)
        for parameter in command.params:
            names = ", ".join(parameter.opts) if parameter.param_type_name == "option" else parameter.name.upper()
            if parameter.name != "help":
                yield f"  {names}: default {parameter.default!r}"


def config_lines() -> Iterator[str]:
    """Yield a line for every setting of a recipe, with its default."""
    from nlakit.config import recipe_fields

    for key, model, name in recipe_fields():
        field = model.model_fields[name]
        default = "required" if field.is_required() else repr(field.get_default(call_default_factory=True))
        yield f"{key} = {default}"


def openapi_lines() -> Iterator[str]:
    """Yield the lines of the schema that a server publishes of its routes."""
    schema = make_app(tiny_pair()).openapi()
    schema["info"].pop("version")
    yield from json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False).splitlines()


def public_lines() -> Iterator[str]:
    """Yield a line for every public name of the public modules, methods and fields included."""
    import nlakit

    yield f"nlakit: {', '.join(nlakit.__all__)}"
    for module in PUBLIC_MODULES:
        path = ROOT / "src" / "nlakit" / f"{module}.py"
        yield f"nlakit.{module.replace('/', '.')}"
        body = ast.parse(path.read_text(encoding="utf-8")).body
        yield from (f"  {line}" for line in sorted(_public(body)))


def _public(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            named = [argument.arg for argument in arguments if argument.arg not in ("self", "cls")]
            yield f"{prefix}{node.name}({', '.join(named)})"
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield f"{prefix}class {node.name}"
            yield from _public(node.body, f"{prefix}{node.name}.")
        elif (
            isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not node.target.id.startswith("_")
        ):
            yield f"{prefix}{node.target.id}"
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            yield from (f"{prefix}{name}" for name in names if not name.startswith("_") and name != "model_config")


if __name__ == "__main__":
    sys.exit(main())
