"""
Output as lines: pages, cursors, progress bars and lines without end.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_hpo.runners.output import CUT, MAX_LINE, PAGE, read_lines, tail


def read_all(path, since=0, *, ended=True):
    """
    Return all lines after *since*, and the last cursor.
    """
    lines, cursor = read_lines(path, since, ended=ended)
    while cursor != since:
        since = cursor
        more, cursor = read_lines(path, since, ended=ended)
        lines += more
    return lines, cursor


def written(folder, data):
    """
    Return a file that holds *data*.
    """
    path = folder / "log"
    path.write_bytes(data)
    return path


def test_no_file_is_no_output(tmp_path):
    """
    Before the first byte there is nothing, and the cursor stays.
    """
    assert read_lines(tmp_path / "log", 0, ended=False) == ([], 0)
    assert tail(tmp_path / "log", 5) == []


def test_half_a_line_waits(tmp_path):
    """
    It is complete with its newline, or when nobody writes any more.
    """
    path = written(tmp_path, b"a\nb")

    assert read_lines(path, 0, ended=False) == (["a"], 2)
    assert read_lines(path, 2, ended=False) == ([], 2)
    assert read_lines(path, 2, ended=True) == (["b"], 3)
    assert read_lines(path, 3, ended=True) == ([], 3)


def test_bytes_that_are_no_text_are_replaced(tmp_path):
    """
    Nothing that a job prints breaks its reader.
    """
    assert read_lines(written(tmp_path, b"\xff\xfe a\n"), 0, ended=True)[0] == ["\ufffd\ufffd a"]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"\r 0%\r 50%\r100%\n", ["100%"]),
        (b"\r100%\r     \rdone\n", ["done"]),
        (b"\r10%\r20%", ["20%"]),
        (b'\r 45%|### | 45/100{"a": 1}\n', [" 45%|### | 45/100", '{"a": 1}']),
        (b'\r 45%\r      \r{"a": 1}\n', ['{"a": 1}']),
        (b'no bar {"a": 1}\n', ['no bar {"a": 1}']),
        (b'\rbar\n no bar {"a": 1}\n', ["bar", ' no bar {"a": 1}']),
        (b"\r\n\r\n", ["", ""]),
    ],
)
def test_progress_bars(tmp_path, data, lines):
    """
    The last state of a bar counts; JSON behind a bar is a line of its own.
    """
    assert read_all(written(tmp_path, data))[0] == lines


def test_a_bar_that_never_ends_its_line_takes_no_space(tmp_path):
    """
    Hours of carriage returns are dropped on the way; JSON behind them is not.
    """
    path = written(tmp_path, b"")
    cursor, lines = 0, []
    with path.open("ab", buffering=0) as file:
        for step in range(100):
            file.write(b"\r%6d|####" % step * 5000)
            more, cursor = read_lines(path, cursor, ended=False)
            lines += more
            assert path.stat().st_size - cursor < MAX_LINE
        file.write(b'{"epoch": 1}\n')
    more, cursor = read_lines(path, cursor, ended=False)

    assert lines + more == ["    99|####", '{"epoch": 1}']
    assert cursor == path.stat().st_size


def test_a_line_without_measure(tmp_path):
    """
    It is cut once, its rest is skipped, and what follows is whole.
    """
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.write(b'first\n{"loss": ')
        file.truncate(2**28)  # NUL bytes that take no space on the disk
        file.seek(0, 2)
        file.write(b'{"a": 1}\nlast')

    lines, cursor = read_lines(path, 0, ended=False)
    assert lines[0] == "first"
    assert lines[1].endswith(CUT)
    assert len(lines) == 2
    assert cursor <= PAGE

    assert read_all(path, cursor)[0] == ["last"]


def test_a_long_line_is_cut_whenever_it_is_read(tmp_path):
    """
    Read as it grows or afterwards, a long line gives one cut line.
    """
    line = b"x" * (MAX_LINE + 1)
    path = written(tmp_path, line)
    early, cursor = read_lines(path, 0, ended=False)
    path.write_bytes(line + b"yy\nnext\n")
    late, _ = read_lines(path, cursor, ended=False)

    assert [*early, *late] == read_all(path)[0] == ["x" * MAX_LINE + CUT, "next"]


def test_a_line_of_just_the_limit_is_whole(tmp_path):
    """
    The limit itself is allowed.
    """
    path = written(tmp_path, b"x" * MAX_LINE)

    assert read_lines(path, 0, ended=False) == ([], 0)
    assert read_lines(path, 0, ended=True) == (["x" * MAX_LINE], MAX_LINE)


def test_more_than_a_page(tmp_path):
    """
    Pages join without a gap, also where a line lies across their border.
    """
    lines = [f"{number:070}" for number in range(PAGE // 40)]
    path = written(tmp_path, "\n".join(lines).encode())

    first, cursor = read_lines(path, 0, ended=True)

    assert 0 < cursor <= PAGE
    assert first + read_all(path, cursor)[0] == lines


def test_a_file_that_was_emptied_starts_anew(tmp_path):
    """
    A job can truncate its own output; what it writes then is read.
    """
    path = written(tmp_path, b"one\ntwo\nthree\n")
    _, cursor = read_lines(path, 0, ended=False)
    path.write_bytes(b"four\n")

    assert read_lines(path, cursor, ended=False) == (["four"], 5)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"))), st.data())
def test_lines_survive_any_growth(tmp_path_factory, lines, data):
    """
    However a file grows, its lines come once, whole and in order.
    """
    path = tmp_path_factory.mktemp("job") / "log"
    content = "".join(f"{line}\n" for line in lines).encode()
    cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=5))
    found, cursor = [], 0
    for cut in [*sorted(cuts), len(content)]:
        path.write_bytes(content[:cut])
        more, cursor = read_lines(path, cursor, ended=False)
        found += more

    assert found == lines
    assert cursor == len(content)


@given(st.binary(max_size=200))
def test_any_bytes_end_at_the_end(tmp_path_factory, content):
    """
    Whatever was written, reading comes to its end and raises nothing.
    """
    path = written(tmp_path_factory.mktemp("job"), content)

    lines, cursor = read_all(path)

    assert cursor == len(content)
    assert len(lines) >= content.count(b"\n")


def test_the_tail_is_short(tmp_path):
    """
    The last lines that are not blank, each within reason.
    """
    path = written(tmp_path, b"a\nb\n" * 50_000 + b"x" * 9_000 + b"\n\n  \nlast")

    assert tail(path, 3) == ["b", "x" * 500, "last"]
