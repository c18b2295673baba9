import os
from pathlib import Path

import pytest

from gtseg.errors import ManifestError, StageError
from gtseg.imports.files import list_files, read_text, require_folder


def test_links_out_of_the_folder_are_followed_only_on_request(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    outside.mkdir()
    for path in (folder / "a.jpg", folder / "sub/b.jpg", outside / "c.jpg"):
        path.write_bytes(b"x")
    (folder / "d.jpg").symlink_to(folder / "a.jpg")
    (folder / "c.jpg").symlink_to(outside / "c.jpg")
    (folder / "away").symlink_to(outside)
    (folder / "round").symlink_to(folder)
    (folder / "gone.jpg").symlink_to(tmp_path / "nothing")
    os.mkfifo(folder / "pipe.jpg")
    listing = list_files(folder, {".jpg"})
    assert [path.relative_to(folder).as_posix() for path in listing.files] == ["a.jpg", "d.jpg", "sub/b.jpg"]
    assert sum(loss.count for loss in listing.losses) == 4
    followed = [p.relative_to(folder).as_posix() for p in list_files(folder, {".jpg"}, follow_links=True).files]
    assert followed == ["a.jpg", "away/c.jpg", "c.jpg", "d.jpg", "sub/b.jpg"]


def test_text_is_utf_8_or_utf_16_and_other_files_are_rejected(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "a").write_bytes("é".encode(encoding))
        assert read_text(tmp_path / "a", "text") == "é"
    (tmp_path / "a").write_bytes(b"\x81")
    with pytest.raises(ManifestError, match="not readable as text"):
        read_text(tmp_path / "a", "text")
    with pytest.raises(ManifestError, match="No such file"):
        read_text(tmp_path / "b", "text")
    with pytest.raises(StageError, match="folder not found"):
        require_folder(tmp_path / "b")
