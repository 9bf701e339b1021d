"""Where a benchmark's rows lie: on the Hugging Face hub, or in a data folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sitkit.errors import DataError
from sitkit.plugin_support import quiet
from sitkit.types import Json, Split
from sitkit_benchmarks.rows import Row, read_rows, sha256


@dataclass(frozen=True)
class Source:
    """A data set on the hub, pinned, and its folder in a data folder: ``FOLDER/SPLIT.jsonl.gz`` or ``.jsonl``.

    ``splits`` maps sitkit's split to the data set's own. Of several ``configs`` the rows follow each other, as they do
    in the one file of a data folder.
    """

    hub_id: str
    configs: tuple[str, ...]
    revision: str
    folder: str
    splits: Mapping[Split, str]

    def origin(self, split: Split, data_dir: Path | None) -> str:
        """Return where the rows of a split come from, in a few words. Raises `DataError` if a folder lacks them."""
        if data_dir is not None:
            return str(self._file(split, data_dir))
        return f"hub {self.hub_id}@{self.revision[:7]} {'+'.join(self.configs)} {self.splits[split]}".replace("  ", " ")

    def rows(self, split: Split, data_dir: Path | None) -> Iterator[Row]:
        """Yield the rows of a split in the source's order. Raises `DataError`."""
        if data_dir is not None:
            return read_rows(self._file(split, data_dir))
        return self._hub_rows(split)

    def fingerprint(self, split: Split, data_dir: Path | None) -> Json:
        """Return what determines the rows: the file's sha256, or id, config, revision and split on the hub."""
        if data_dir is not None:
            return {"sha256": sha256(self._file(split, data_dir))}
        config = "+".join(self.configs) or None
        return {"hub": self.hub_id, "config": config, "revision": self.revision, "split": self.splits[split]}

    def _file(self, split: Split, data_dir: Path) -> Path:
        if not data_dir.is_dir():
            raise DataError(f"--data-dir {data_dir} is not a folder")
        stem = data_dir / self.folder / self.splits[split]
        names = [stem.with_name(f"{stem.name}{suffix}") for suffix in (".jsonl.gz", ".jsonl")]
        for name in names:
            if name.is_file():
                return name
        raise DataError(f"{self.hub_id} is not in --data-dir: looked for {names[0]} and {names[1].name}")

    def _hub_rows(self, split: Split) -> Iterator[Row]:
        for config in self.configs or (None,):
            yield from self._config_rows(config, self.splits[split])

    def _config_rows(self, config: str | None, split: str) -> Iterator[Row]:
        from datasets import load_dataset

        name = f"{self.hub_id}@{self.revision[:7]}{f', config {config}' if config else ''}, split {split}"
        try:
            table = load_dataset(self.hub_id, config, revision=self.revision, split=split)
        except Exception as error:
            raise _not_loaded(name, error, f"--data-dir DIR holding {self.folder}/{split}.jsonl.gz") from error
        for number, values in enumerate(table, 1):
            yield Row(values, f"{name}, row {number}")


def hub_splits(hub_id: str, config: str | None, revision: str | None) -> Mapping[str, Iterable[Mapping[str, Any]]]:
    """Return the rows of any data set on the hub by split. Raises `DataError`; no code of the set is run."""
    with quiet():
        from datasets import load_dataset

        try:
            found: Mapping[str, Iterable[Mapping[str, Any]]] = load_dataset(hub_id, config, revision=revision)
        except Exception as error:
            raise _not_loaded(f"hub:{hub_id}", error, "file:PATH") from error
    return found


def _not_loaded(name: str, error: Exception, instead: str) -> DataError:
    # Networks, proxies, caches and the hub fail in many classes; each ends the same way for the user.
    reason = " ".join(str(error).split())[:300]
    return DataError(
        f"{name} cannot be loaded from the Hugging Face hub ({type(error).__name__}: {reason}); "
        f"with the files at hand, use {instead}"
    )
