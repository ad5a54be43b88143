"""Some cells of the matrix, which `make keys` runs as a whole, and the first start, which makes keys."""

import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.keys.matrix import KINDS, Cell, run_cells
from tests.keys.portals import Flaw, Original, Postgres, Sqlite
from tests.services.portal import Portal
from tests.services.postgres_server import PostgresServer, reason_against_postgres
from tests.services.programs import unavailable

pytestmark = pytest.mark.timeout(300)
KIND = {kind.name: kind for kind in KINDS}
WRONG = Flaw("wrong", "audit_key")


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Original:
    folder = tmp_path_factory.mktemp("portals")
    return Original.make(Sqlite(folder), folder)


@pytest.fixture
def on_postgres(tmp_path: Path) -> Iterator[Original]:
    """A server of this test's own, for it stops."""
    if reason := reason_against_postgres():
        unavailable(reason)
    with PostgresServer() as server:
        yield Original.make(Postgres(server), tmp_path)


def refuse_and_recover(original: Original, cells: list[Cell]) -> None:
    """The processes must leave no trace, and do their work once the keys are right."""
    run_cells(cells)
    assert [(cell.kind.name, cell.flaw, cell.output) for cell in cells if not cell.is_right] == []
    healed = Cell(original, cells[0].kind, cells[0].is_away, None, cells[0].portal)
    original.put_keys_right(healed.portal)
    run_cells([healed])
    assert healed.is_right, healed.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "flaw", "is_away"),
    [
        ("create_admin", Flaw("swapped", "secret_key", "audit_key"), False),
        ("restore", Flaw("missing", "audit_key"), False),
        ("restore", WRONG, False),
        ("scheduler", WRONG, True),
        ("upgrade", WRONG, False),
        ("worker", Flaw("missing", "ssh_key"), False),
        ("worker", Flaw("wrong", "signing_key"), False),
        ("create_admin", Flaw("swapped", "signing_key", "ssh_key"), False),
    ],
)
def test_nothing_is_written_on_sqlite(
    on_sqlite: Original, tmp_path: Path, name: str, flaw: Flaw, is_away: bool
) -> None:
    cell = Cell.make(on_sqlite, KIND[name], flaw, is_away=is_away, name=tmp_path.name, folder=tmp_path)
    refuse_and_recover(on_sqlite, [cell])


@pytest.mark.slow
def test_nothing_is_written_after_postgresql_came_back(on_postgres: Original, tmp_path: Path) -> None:
    flaws = {
        "web": WRONG,
        "worker": Flaw("wrong", "ssh_key"),
        "sync_roles": Flaw("wrong", "fingerprint_key"),
    }
    cells = [
        Cell.make(on_postgres, KIND[name], flaw, is_away=True, name=name, folder=tmp_path)
        for name, flaw in flaws.items()
    ]
    refuse_and_recover(on_postgres, cells)


def key_files(portal: Portal) -> dict[str, str]:
    return {each.name: each.read_text() for each in (portal.home / "keys").glob("*")}


@pytest.mark.slow
def test_only_the_first_start_makes_keys(tmp_path: Path) -> None:
    portal = Portal(tmp_path, {"BROKER_URL": "filesystem://"})
    portal.manage("create_admin", "--name", "a", fails=True)
    portal.manage("portal_key", fails=True)
    assert key_files(portal) == {}
    portal.manage("migrate", "--plan")
    assert key_files(portal) == {}
    portal.manage("migrate", "--verbosity", "0")
    made = key_files(portal)
    assert set(made) == {"audit_key", "fingerprint_key", "keyring", "secret_key", "ssh_key"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (portal.home / "keys").iterdir()} == {0o600}
    portal.manage("keys", "list")
    portal.manage("migrate", "--verbosity", "0")
    assert key_files(portal) == made
    (portal.home / "keys/audit_key").unlink()
    portal.manage("migrate", "--verbosity", "0", fails=True)
    assert "audit_key" not in key_files(portal)


@pytest.mark.slow
def test_a_second_home_cannot_join_with_keys_of_its_own(on_sqlite: Original, tmp_path: Path) -> None:
    """It may have been started once on a database of its own, which made it keys."""
    other = Portal(tmp_path, {"BROKER_URL": "filesystem://"})
    other.manage("migrate", "--verbosity", "0")
    other.environment["DATABASE_URL"] = on_sqlite.engine.copy(
        on_sqlite.portal.environment["DATABASE_URL"], "joined"
    )
    other.manage("sync_roles", fails=True)
    for key in (on_sqlite.portal.home / "keys").iterdir():
        shutil.copy(key, other.home / "keys")
    other.manage("sync_roles")


@pytest.mark.slow
def test_a_named_file_that_is_missing_is_not_replaced_by_another(on_sqlite: Original, tmp_path: Path) -> None:
    portal = on_sqlite.copy("named", tmp_path, None)
    portal.environment["AUDIT_KEY_FILE"] = str(tmp_path / "nowhere")
    portal.manage("sync_roles", fails=True)
    portal.environment["AUDIT_KEY_FILE"] = str(portal.home / "keys/audit_key")
    portal.manage("sync_roles")


@pytest.mark.slow
def test_a_key_that_is_lost_for_good_is_replaced_while_restoring(on_sqlite: Original, tmp_path: Path) -> None:
    portal = on_sqlite.copy("lost", tmp_path, Flaw("wrong", "secret_key"), empty=True)
    portal.manage("restore", str(on_sqlite.backup), fails=True)
    portal.manage("restore", str(on_sqlite.backup), "--accept", "secret_key")
    portal.manage("keys", "list")
    assert json.loads(portal.manage("verify_audit", "--json"))["intact"]


@pytest.mark.slow
def test_keys_that_are_not_the_portals_are_not_backed_up(on_sqlite: Original, tmp_path: Path) -> None:
    portal = on_sqlite.copy("false_backup", tmp_path, WRONG)
    portal.manage("backup", str(tmp_path / "copies"), "--with-keys", str(tmp_path / "safe"), fails=True)
    assert not list(tmp_path.glob("safe/*"))
