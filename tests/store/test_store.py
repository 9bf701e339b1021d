"""The store: finished means a manifest, damage is noticed, a journal outlives a kill."""

import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.errors import ArtifactError, StoreError
from sitkit.store import Journal, Store, disk_errors, make_key, write_atomically

KEY = make_key({"a": 1})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def _store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "w")
    store.prepare()
    return store


def _made(store: Store, content: str = "x\n") -> Path:
    folder = store.folder("stage", KEY)
    (folder / "adapter").mkdir(parents=True)
    (folder / "rows.jsonl").write_text(content)
    (folder / "adapter" / "weights").write_bytes(b"\0" * 9)
    return folder


@given(JSON)
def test_a_key_does_not_depend_on_the_order_of_keys(value: object) -> None:
    again = json.loads(json.dumps(value))
    if isinstance(again, dict):
        again = dict(reversed(again.items()))
    assert make_key(value) == make_key(again)


def test_a_folder_without_manifest_is_not_finished(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _made(store)
    assert store.find("stage", KEY) is None
    store.finish("stage", KEY, {"a": 1}, {"told": 2}, 1.5, {})
    found = store.find("stage", KEY)
    assert found is not None
    assert (found.info, found.seconds) == ({"told": 2}, 1.5)


@pytest.mark.parametrize("name", ["rows.jsonl", "adapter/weights"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damage_is_noticed_and_the_file_named(tmp_path: Path, name: str, damage: str) -> None:
    store = _store(tmp_path)
    path = _made(store, "some rows\n") / name
    store.finish("stage", KEY, {}, {}, 0, {})
    content = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if damage == "cut" else bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(ArtifactError, match=path.name):
        store.find("stage", KEY)
    store.discard("stage", KEY)
    assert store.find("stage", KEY) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"key": 1}'])
def test_a_damaged_manifest_is_noticed(tmp_path: Path, text: str) -> None:
    store = _store(tmp_path)
    folder = _made(store)
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match="manifest"):
        store.find("stage", KEY)


def test_a_value_changed_in_a_manifest_is_noticed(tmp_path: Path) -> None:
    store = _store(tmp_path)
    folder = _made(store)
    store.finish("stage", KEY, {}, {"value": 0.25}, 0, {})
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace("0.25", "0.95"))
    with pytest.raises(ArtifactError, match="manifest"):
        store.find("stage", KEY)


def test_folders_and_files_that_changed_places_are_damage_too(tmp_path: Path) -> None:
    store = _store(tmp_path)
    folder = _made(store)
    store.finish("stage", KEY, {}, {}, 0, {})
    (folder / "adapter" / "weights").unlink()
    (folder / "adapter").rmdir()
    (folder / "adapter").touch()
    with pytest.raises(ArtifactError, match="missing"):
        store.find("stage", KEY)
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").mkdir()
    with pytest.raises(ArtifactError, match="folder"):
        store.find("stage", KEY)
    store.discard("stage", KEY)
    assert not folder.exists()


def test_a_full_disk_at_the_manifest_keeps_what_a_stage_goes_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _store(tmp_path)
    folder = _made(store)
    (folder / "scratch").mkdir()
    (folder / "scratch" / "rows").write_text("x")

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("sitkit.store.artifacts.write_atomically", full)
        with pytest.raises(OSError, match="No space"):
            store.finish("stage", KEY, {}, {}, 0, {})
    assert (folder / "scratch" / "rows").read_text() == "x"
    assert store.find("stage", KEY) is None


def test_scratch_is_removed_when_a_stage_is_finished(tmp_path: Path) -> None:
    store = _store(tmp_path)
    folder = _made(store)
    (folder / "scratch").mkdir()
    (folder / "scratch" / "checkpoint").write_text("x")
    store.finish("stage", KEY, {}, {}, 0, {})
    assert sorted(path.name for path in folder.iterdir()) == ["adapter", "manifest.json", "rows.jsonl"]


def test_a_workspace_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Store(tmp_path / "file" / "w").prepare()


@given(rows=st.lists(st.tuples(st.text(min_size=1, max_size=5), st.text()), max_size=6), cut=st.integers(0, 40))
def test_a_journal_cut_anywhere_keeps_its_whole_rows_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], cut: int
) -> None:
    path = tmp_path_factory.mktemp("j") / "journal.jsonl"
    with Journal(path) as journal:
        for row_id, value in rows:
            journal.append(row_id, value)
    content = path.read_bytes()
    kept = content[: max(0, len(content) - cut)]
    path.write_bytes(kept)
    whole = kept.count(b"\n")
    with Journal(path) as journal:
        assert journal.rows == dict(rows[:whole])
        journal.append("new", "1")
    with Journal(path) as journal:
        assert journal.rows == {**dict(rows[:whole]), "new": "1"}


def _journal(path: Path, rows: dict[str, str]) -> list[bytes]:
    with Journal(path) as journal:
        for row_id, value in rows.items():
            journal.append(row_id, value)
    return path.read_bytes().splitlines(keepends=True)


def test_a_row_is_on_disk_as_soon_as_it_is_added(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path) as journal:
        journal.append("a", "1")
        assert Journal.peek(path).rows == {"a": "1"}


ROWS = {"a": "The answer is 41.", "b": "The answer is 2.", "c": "The answer is 3.", "d": "The answer is 4."}


@given(place=st.integers(0), value=st.integers(1, 255))
def test_a_byte_changed_anywhere_in_a_journal_gives_no_other_row(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    path = tmp_path_factory.mktemp("j") / "j.jsonl"
    _journal(path, ROWS)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= value
    path.write_bytes(content)
    rows = Journal.peek(path).rows
    assert rows.items() < ROWS.items()
    # A line break that is no more takes two rows, unless it was the last: that looks like a kill.
    assert len(rows) >= len(ROWS) - 2


def test_a_damaged_row_is_named_once_kept_aside_and_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "j.jsonl"
    lines = _journal(path, ROWS)
    path.write_bytes(lines[0].replace(b"41", b"45") + b"\xff\xfe garbage\n" + b"".join(lines[1:]))
    with Journal(path) as journal:
        assert journal.rows == {name: ROWS[name] for name in "bcd"}
        journal.append("a", ROWS["a"])
    (said,) = caplog.messages
    assert f"{path}, lines 1, 2: damaged" in said
    assert (tmp_path / "j.jsonl.damaged").read_bytes() == lines[0].replace(b"41", b"45") + b"\xff\xfe garbage\n"
    with Journal(path) as journal:
        assert journal.rows == ROWS
    assert len(caplog.messages) == 1


@pytest.mark.parametrize(
    ("order", "line"), [((1, 2, 3), 1), ((0, 2, 3), 2), ((0, 2, 1, 3), 2), ((0, 1, 2, 3, 0), 5)]
)  # fmt: skip
def test_rows_that_are_missing_or_out_of_place_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, order: tuple[int, ...], line: int
) -> None:
    path = tmp_path / "j.jsonl"
    lines = _journal(path, ROWS)
    path.write_bytes(b"".join(lines[place] for place in order))
    with Journal(path) as journal:
        assert journal.rows.items() <= ROWS.items()
        assert len(journal.rows) == len(set(order))
    (said,) = caplog.messages
    assert f"{path}, before line" in said
    assert str(line) in said.rpartition("before")[2]
    with Journal(path):
        assert len(caplog.messages) == 1


def _hold(workspace: str, started: str, order: str) -> None:
    with Store(Path(workspace)).lock("k"):
        Path(started).touch()
        time.sleep(0.5)
        with Path(order).open("a") as file:
            file.write("first\n")


def test_a_second_process_waits_for_the_lock_and_a_kill_frees_it(tmp_path: Path) -> None:
    store = _store(tmp_path)
    started, order = tmp_path / "started", tmp_path / "order"
    context = multiprocessing.get_context("spawn")
    holder = context.Process(target=_hold, args=(str(store.workspace), str(started), str(order)))
    holder.start()
    _wait_for(started)
    waited = []
    with store.lock("k", waiting=lambda: waited.append(True)):
        assert order.read_text() == "first\n"
    assert waited == [True]
    holder.join()
    started.unlink()
    killed = context.Process(target=_hold, args=(str(store.workspace), str(started), str(order)))
    killed.start()
    _wait_for(started)
    os.kill(killed.pid or 0, 9)
    with store.lock("k"):
        assert order.read_text() == "first\n"


def _wait_for(path: Path) -> None:
    for _ in range(500):
        if path.exists():
            return
        time.sleep(0.02)
    raise TimeoutError(path)


def test_a_folder_in_the_place_of_a_file_is_named_and_an_empty_one_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.mkdir()
    write_atomically(path, "whole")
    assert path.read_text() == "whole"
    path.unlink()
    (path / "kept").mkdir(parents=True)
    with pytest.raises(StoreError) as told, disk_errors(tmp_path):
        write_atomically(path, "whole")
    assert str(told.value).startswith(f"{path}: ")
    assert list(tmp_path.iterdir()) == [path]


def test_a_workspace_made_here_is_its_owners_alone_and_one_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    given.chmod(0o775)
    before = os.umask(0)
    try:
        for workspace in (tmp_path / "far" / "made", given):
            Store(workspace).prepare()
    finally:
        os.umask(before)
    assert (tmp_path / "far" / "made").stat().st_mode & 0o777 == 0o700
    assert given.stat().st_mode & 0o777 == 0o775
