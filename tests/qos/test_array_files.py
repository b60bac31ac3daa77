"""Files of arrays that are damaged are refused in words, whatever the damage."""

import io
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qos.array_files import stored_arrays
from qos.errors import InputError


def _whole_file() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, rate=np.arange(20.0), format=np.array(3))
    return stream.getvalue()


WHOLE = _whole_file()


def _read(path: Path) -> tuple[int, float]:
    with stored_arrays(path, "the test") as stored:
        return int(stored["format"]), float(stored["rate"].sum())


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(WHOLE)
    assert _read(path) == (3, 190.0)


@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(0, len(WHOLE)),
)
@settings(max_examples=300, deadline=None)
def test_any_damage_is_refused_or_does_no_harm(
    tmp_path_factory: pytest.TempPathFactory, bytes_: list[tuple[int, int]], length: int
) -> None:
    damaged = bytearray(WHOLE)
    for place, value in bytes_:
        damaged[place] = value
    for content in (damaged, damaged[:length]):
        path = tmp_path_factory.getbasetemp() / "damaged.npz"
        path.write_bytes(content)
        with suppress(InputError):  # what else is raised fails the test
            assert _read(path) == (3, 190.0)


@pytest.mark.parametrize(
    ("place", "value"), [(8, 99), (6, 1)], ids=["unknown compression", "said to be encrypted"]
)
def test_what_zipfile_cannot_do_is_refused(tmp_path: Path, place: int, value: int) -> None:
    """A byte of the header of the first array, in the file and in the directory at its end."""
    content = bytearray(WHOLE)
    content[place] = value
    content[content.rindex(b"PK\x01\x02", 0, content.rindex(b"PK\x01\x02")) + place + 2] = value
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive, pytest.raises((NotImplementedError, RuntimeError)):
        archive.read(archive.namelist()[0])
    with (
        pytest.raises(InputError, match=r"a\.npz: damaged, or not written by the test: \w"),
        stored_arrays(path, "the test") as stored,
    ):
        stored["rate"]


def test_words_for_people_name_what_to_do(tmp_path: Path) -> None:
    missing, text, objects = tmp_path / "no.npz", tmp_path / "text.npz", tmp_path / "objects.npz"
    text.write_text("rate: 3")
    np.savez(objects, rate=np.array([{}], object))
    for path, words in (
        (missing, "No such file or directory; give a file written by numpy.savez"),
        (text, "not a .npz of arrays, or cut short; give a file written by numpy.savez"),
        (objects, "damaged, or not written by numpy.savez: it holds Python objects"),
    ):
        with pytest.raises(InputError) as refusal, stored_arrays(path, "numpy.savez") as stored:
            stored["rate"]
        assert str(refusal.value) == f"{path}: {words}"
