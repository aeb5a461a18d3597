"""Data are known by their content: what a cell was trained on against what its configuration names now."""

from __future__ import annotations

from mdcore.config.cell import Cell, is_own


class ContentNow:
    """What the files and functions that a grid names hold at present, looked at once per data set.

    The bundled images and synthetic data hang on code and packages alone, which the code's fingerprint holds.
    """

    def __init__(self, plugin_dir=None):
        self.plugin_dir = plugin_dir
        self._known: dict[str, dict] = {}

    def of(self, cell: Cell) -> dict:
        """{"files": {name: sha256}} of MNIST's files, {"sha256": …} of a user's own data; {} where nothing is known."""
        if cell.data_key not in self._known:
            self._known[cell.data_key] = self._look(cell.config)
        return self._known[cell.data_key]

    def _look(self, config: dict) -> dict:
        dataset = config["dataset"]
        if dataset["name"] == "mnist" and dataset.get("source") == "full":
            from mdcore.problems.mnist import DataError, digests  # loads numpy, which a finished grid can do without

            try:
                return {"files": digests(dataset["path"])}
            except (DataError, OSError):  # not here now: the results stand as they are
                return {}
        if not is_own(dataset["name"]):
            return {}
        from mdcore.training.stack import load_data

        try:
            return {"sha256": load_data(config, self.plugin_dir).fingerprint}
        except Exception:  # a user's function may raise anything; training will say so where it is needed
            return {}

    def changes(self, cell: Cell, recorded: dict) -> list[str]:
        """In words, what differs from the data that the cell was trained on; [] where nothing is known to."""
        now = self.of(cell) if recorded else {}
        if recorded.get("files") and now.get("files"):
            both = recorded["files"].keys() | now["files"].keys()
            names = sorted(name for name in both if recorded["files"].get(name) != now["files"].get(name))
            return [f"the data's file {name} has another content" for name in names]
        if now.get("sha256", recorded.get("sha256")) != recorded.get("sha256"):
            return [f"the data are others: sha256 {recorded['sha256'][:8]} -> {now['sha256'][:8]}"]
        return []
