"""Finds every code that the portal's own source can store: in columns, drafts, notes and events.

What is found in the source itself is found by its form: a call that records an event, or a dictionary of
details that goes into one.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

from django.apps import apps

from credentials.adobe.ims import NEXT_STEPS
from credentials.entry import REARRANGED
from credentials.rollouts.models import Attempt
from credentials.rollouts.notes import WORDS
from credentials.values import CAUTIONS
from credentials.wizard.steps import SLUGS
from instances.failures import Code
from instances.inventory import editing
from instances.reaching.key_scans import INTERNAL, PORTAL_KEY
from portal.audit.chain.findings import PROBLEMS
from portal.audit.labels import LABELS
from portal.notices.kinds import TEST, kinds

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("portal", "instances", "credentials")
RECORDING = {"record", "_record", "Entry"}
ACTION = re.compile(r"[a-z_]+\.[a-z_]+")
NO_DETAILS = {"actor", "target", "details", "key"}
Codes = dict[str, list[str]]
Kind = TypeVar("Kind", bound=ast.AST)


def of_today() -> Codes:
    """Return what today's code can store, by table and column; `audit_auditevent.details` are its keys."""
    found = {
        **columns(),
        "rollouts_push.cause": Attempt.Cause.values,
        "rollouts_attempt.notes": WORDS,
        "credentials_clientsecret.ims_verdict": NEXT_STEPS,
        "instances_keyscan.code": [*Code.values, PORTAL_KEY, INTERNAL],
        "notices_message.kind": [TEST, *(kind.code for kind in kinds())],
        "wizard_draft.step": SLUGS,
        "wizard_draft.cautions": [*CAUTIONS, REARRANGED],
        "audit_auditevent.action": actions(),
        "audit_auditevent.target_type": target_types(),
        "audit_auditevent.details": detail_keys(),
        "audit_auditevent.details.findings": PROBLEMS,
    }
    return {name: sorted(map(str, set(values))) for name, values in sorted(found.items())}


def columns() -> dict[str, Iterable[str]]:
    """Return the choices of every column that has some."""
    models = [each for each in apps.get_models() if each.__module__.split(".")[0] in PACKAGES]
    return {
        f"{model._meta.db_table}.{field.column}": [str(value) for value, _ in field.flatchoices if value]
        for model in models
        for field in model._meta.local_concrete_fields
        if field.choices
    }


def target_types() -> Iterable[str]:
    return {"user", *(name for each in apps.get_models() if (name := getattr(each, "audit_name", "")))}


def actions() -> Iterable[str]:
    """Return what has a label, and what calls name that record an event, in words or by a constant."""
    constants: dict[str, set[str]] = {}
    for target, value in assignments():
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            constants.setdefault(name_of(target), set()).add(value.value)
    found = set(LABELS)
    for call in nodes(ast.Call):
        first = call.args[0] if name_of(call.func) in RECORDING and call.args else None
        if isinstance(first, ast.Constant):
            found.add(str(first.value))
        elif isinstance(first, ast.Name | ast.Attribute):
            found |= {text for text in constants.get(name_of(first), ()) if ACTION.fullmatch(text)}
    return found


def detail_keys() -> Iterator[str]:
    """Yield the keys of details: written there, in a variable of that name, or in a function called there."""
    yield from (name for names in vars(editing).items() if names[0].endswith("_FIELDS") for name in names[1])
    yield "names"  # what `portal.people.locks` says of names without a user
    makers = set[str]()
    for expression in details():
        yield from keys_in(expression)
        makers |= set(made_elsewhere(expression))
    for call in nodes(ast.Call):
        if name_of(call.func) == "_record":
            yield from (each.arg for each in call.keywords if each.arg and each.arg not in NO_DETAILS)
    for function in nodes(ast.FunctionDef):
        if function.name in makers and gives_details(function):
            yield from keys_in(function)


def gives_details(function: ast.FunctionDef) -> bool:
    return function.returns is not None and ast.unparse(function.returns).startswith(("Details", "dict["))


def details() -> Iterator[ast.AST]:
    for call in nodes(ast.Call):
        yield from (each.value for each in call.keywords if each.arg == "details")
        if name_of(call.func) == "Entry":
            yield from call.args[2:3]
    for target, value in assignments():
        if value and name_of(target) in {"details", "totals"}:
            yield value


def assignments() -> Iterator[tuple[ast.expr, ast.expr | None]]:
    for plain in nodes(ast.Assign):
        yield plain.targets[0], plain.value
    for typed in nodes(ast.AnnAssign):
        yield typed.target, typed.value
    for added in nodes(ast.AugAssign):
        yield added.target, added.value


def made_elsewhere(expression: ast.AST) -> Iterator[str]:
    """Yield the functions and properties that make details, or a part of them as in `{**counts()}`."""
    parts = [value for node in ast.walk(expression) if isinstance(node, ast.Dict) for value in parts_of(node)]
    for each in (expression, *parts):
        if isinstance(each, ast.Call):
            yield name_of(each.func)
        elif isinstance(each, ast.Attribute):
            yield each.attr


def parts_of(node: ast.Dict) -> list[ast.expr]:
    return [value for key, value in zip(node.keys, node.values, strict=True) if key is None]


def keys_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        for key in node.keys if isinstance(node, ast.Dict) else ():
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value


def name_of(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def nodes(kind: type[Kind]) -> Iterator[Kind]:
    return (node for node in source() if isinstance(node, kind))


@cache
def source() -> list[ast.AST]:
    """Return the portal's source, migrations included, the sandbox left out."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    trees = [ast.parse(path.read_text()) for path in paths if "sandbox" not in path.parts]
    kinds = (ast.Call, ast.Constant, ast.FunctionDef, ast.Assign, ast.AnnAssign, ast.AugAssign)
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, kinds)]
