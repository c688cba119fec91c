"""Files that grow, read from where the last reading stopped."""

from pathlib import Path


class LineTail:
    """Whole lines of a file as they come. A last line without its newline is still being written and waits."""

    def __init__(self, path: Path) -> None:
        """Begin at the start of the file, which need not be there yet."""
        self._path = path
        self._offset = 0

    def new_lines(self) -> list[bytes]:
        """The lines since the last call, without their newlines; empty where the file is missing or unreadable."""
        try:
            with self._path.open("rb") as file:
                if self._path.stat().st_size < self._offset:
                    self._offset = 0
                file.seek(self._offset)
                content = file.read()
        except OSError:
            return []
        end = content.rfind(b"\n") + 1
        self._offset += end
        return content[:end].splitlines()


def last_lines(path: Path, count: int, most_bytes: int = 65536) -> list[str]:
    """The last lines of a text file; empty where it is missing or unreadable."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - most_bytes))
            return file.read().decode("utf-8", "replace").splitlines()[-count:]
    except OSError:
        return []
