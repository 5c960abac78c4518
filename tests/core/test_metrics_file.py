"""
Metrics from files that grow, are replaced, are old, or never come.
"""

from __future__ import annotations

import json
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_hpo.metrics import create_collector, validate_options
from airflow_hpo.model.blueprint import MetricsSpec


def collector(folder, path, *, since=None, resource=None, **options):
    """
    Return a collector of the file at *path* in *folder*.
    """
    spec = MetricsSpec(format="file", options={"path": path, **options})
    return create_collector(spec, workspace=str(folder), since=since, resource=resource)


def fed(found):
    """
    Return the metrics that the collector has for a running trial.
    """
    return [dict(one.metrics) for one in found.feed([], 1.0)]


def finished(found):
    """
    Return the metrics that the collector has left for an ended trial.
    """
    return [dict(one.metrics) for one in found.finish(2.0)]


class TestOptions:
    """
    What may be asked for.
    """

    @pytest.mark.parametrize("path", ["/etc/passwd", "../other/m.json", "a/../../m.json"])
    def test_a_path_stays_in_the_trials_folder(self, path):
        """
        Absolute paths and ways out are refused: trials would share the file.
        """
        with pytest.raises(ValueError, match=r"path must lie within the trial's own folder, got"):
            validate_options(MetricsSpec(format="file", options={"path": path}))

    def test_an_unknown_suffix_needs_a_format(self):
        """
        The message lists the suffixes that tell the format.
        """
        with pytest.raises(ValueError, match=r"\.json, \.jsonl, \.ndjson, \.csv, got 'out\.txt'"):
            validate_options(MetricsSpec(format="file", options={"path": "out.txt"}))

    def test_a_given_format_comes_before_the_suffix(self, tmp_path):
        """
        A suffix is only a default.
        """
        (tmp_path / "log.json").write_text('{"a": 1}\n{"a": 2}\n')

        assert finished(collector(tmp_path, "log.json", format="json_lines")) == [
            {"a": 1},
            {"a": 2},
        ]

    def test_no_folder_is_refused(self):
        """
        Where a trial has no folder here, no file can be read.
        """
        with pytest.raises(ValueError, match="need a trial's folder"):
            create_collector(MetricsSpec(format="file", options={"path": "m.json"}))


class TestJson:
    """
    A document, read at the end.
    """

    def test_an_object_is_one_measurement(self, tmp_path):
        """
        Nested values get dotted names; nothing is read before the end.
        """
        (tmp_path / "m.json").write_text('\ufeff{"val": {"loss": 0.5}, "n": 3}', "utf-8")
        found = collector(tmp_path, "m.json", resource="n")

        assert fed(found) == []
        (one,) = found.finish(2.0)
        assert one.metrics == {"val.loss": 0.5, "n": 3}
        assert one.resource == 3

    def test_a_list_is_several(self, tmp_path):
        """
        Each object of a list is a measurement; anything else is noted.
        """
        (tmp_path / "m.json").write_text('[{"a": 1}, 2, {"a": 3}]')
        found = collector(tmp_path, "m.json")

        assert finished(found) == [{"a": 1}, {"a": 3}]
        assert found.notes == ("m.json holds something else than objects",)

    @pytest.mark.parametrize("text", ["", "{", "nope", "[" * 100_000, b"\xff\xfe{}"])
    def test_what_is_no_document_is_noted(self, tmp_path, text):
        """
        Broken and hostile files raise nothing.
        """
        (tmp_path / "m.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        found = collector(tmp_path, "m.json")

        assert finished(found) == []
        assert found.notes == ("m.json is no JSON document",)

    def test_a_file_too_large_is_not_read(self, tmp_path):
        """
        What is no metrics file by its size does not fill the memory.
        """
        with (tmp_path / "m.json").open("wb") as file:
            file.truncate(2**30)
        found = collector(tmp_path, "m.json")

        assert finished(found) == []
        assert "longer than 16777216 bytes" in found.notes[0]


class TestRows:
    """
    JSON lines and CSV, read as they grow.
    """

    def test_lines_come_once_they_are_complete(self, tmp_path):
        """
        Half a line waits for its other half, the last one for the end.
        """
        path = tmp_path / "m.jsonl"
        found = collector(tmp_path, "m.jsonl")

        assert fed(found) == []
        path.write_text('{"a": 1}\n{"a"')
        assert fed(found) == [{"a": 1}]
        assert fed(found) == []
        with path.open("a") as file:
            file.write(': 2}\nother\n{"a": 3}')
        assert fed(found) == [{"a": 2}]
        assert finished(found) == [{"a": 3}]

    def test_a_csv_row_is_a_measurement(self, tmp_path):
        """
        Cells become numbers where they are; empty cells are no metrics.
        """
        text = '\ufeffepoch, loss ,note,\r\n1,1e-1,"a, b",x\r\n2,,nan\r\n\r\n3,0.5,c,d,e\r\n'
        (tmp_path / "m.csv").write_text(text, "utf-8", newline="")
        found = collector(tmp_path, "m.csv", resource="epochs")

        measured = found.feed([], 1.0) + found.finish(2.0)

        assert [repr(dict(one.metrics)) for one in measured] == [
            "{'epoch': 1, 'loss': 0.1, 'note': 'a, b'}",
            "{'epoch': 2, 'note': nan}",
            "{'epoch': 3, 'loss': 0.5, 'note': 'c'}",
        ]
        assert [one.resource for one in measured] == [1, 2, 3]

    def test_a_quoted_cell_may_go_over_lines(self, tmp_path):
        """
        A newline within quotes ends no row.
        """
        (tmp_path / "m.csv").write_text('a,b\n1,"x\ny"\n2,z\n')

        assert finished(collector(tmp_path, "m.csv")) == [{"a": 1, "b": "x\ny"}, {"a": 2, "b": "z"}]

    def test_another_delimiter(self, tmp_path):
        """
        Cells may be set apart by what the options say.
        """
        (tmp_path / "m.csv").write_text("a;b\n1;2\n")

        assert finished(collector(tmp_path, "m.csv", delimiter=";")) == [{"a": 1, "b": 2}]

    def test_a_file_in_a_folder_of_its_own(self, tmp_path):
        """
        The path may go into folders that the code makes.
        """
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs" / "m.csv").write_text("a\n1\n")

        assert finished(collector(tmp_path, "logs/m.csv")) == [{"a": 1}]

    @pytest.mark.parametrize("replace", [True, False], ids=["renamed over", "in place"])
    def test_a_history_written_anew_goes_on(self, tmp_path, replace):
        """
        Code that writes its whole history each epoch is measured once a row.
        """
        path = tmp_path / "m.csv"
        found = collector(tmp_path, "m.csv")
        measured = []
        for epoch in range(4):
            rows = "".join(f"{number},{number / 10}\n" for number in range(epoch + 1))
            target = tmp_path / "m.new" if replace else path
            target.write_text(f"epoch,loss\n{rows}")
            target.replace(path)
            measured += fed(found)

        assert [one["epoch"] for one in measured + finished(found)] == [0, 1, 2, 3]

    def test_other_rows_are_read_from_the_start(self, tmp_path):
        """
        A file that begins differently is another one, longer or not.
        """
        path = tmp_path / "m.csv"
        found = collector(tmp_path, "m.csv")
        path.write_text("a\n1\n2\n")

        assert fed(found) == [{"a": 1}, {"a": 2}]
        path.write_text("b\n7\n8\n9\n10\n")
        assert fed(found) == [{"b": 7}, {"b": 8}, {"b": 9}, {"b": 10}]
        path.write_text("c\n5\n")
        assert finished(found) == [{"c": 5}]

    @given(st.lists(st.integers(0, 40), max_size=6), st.binary(max_size=40))
    def test_pieces_do_not_matter(self, tmp_path_factory, cuts, noise):
        """
        However the file grows, the same content gives the same measurements.
        """
        folder = tmp_path_factory.mktemp("trial")
        content = b'{"a": 1}\n' + noise + b'\n{"a": 2}\n{"a": 3}'
        found = collector(folder, "m.jsonl")
        measured = []
        for cut in [*sorted(cuts), len(content)]:
            (folder / "m.jsonl").write_bytes(content[:cut])
            measured += fed(found)
        measured += finished(found)

        assert measured == finished(collector(folder, "m.jsonl"))
        assert {"a": 1} in measured
        assert measured[-1] == {"a": 3}


class TestPresence:
    """
    Files that are old, missing, or no files.
    """

    @pytest.mark.parametrize("name", ["m.json", "m.jsonl", "m.csv"])
    def test_what_an_older_attempt_left_is_not_read(self, tmp_path, name):
        """
        A retry that dies early does not inherit the last one's metrics.
        """
        path = tmp_path / name
        path.write_text('{"a": 1}')
        os.utime(path, (1e9, 1e9))
        found = collector(tmp_path, name, since=time.time())

        assert fed(found) == []
        assert finished(found) == []
        assert found.notes == (f"the metrics file {name} was not written",)

    def test_a_file_written_since_is_read(self, tmp_path):
        """
        As soon as the new attempt writes to it, even at once.
        """
        since = time.time()
        (tmp_path / "m.json").write_text('{"a": 1}')

        assert finished(collector(tmp_path, "m.json", since=since)) == [{"a": 1}]

    def test_whole_seconds_are_enough(self, tmp_path):
        """
        Some file systems keep no fractions: such a file is not taken for old.
        """
        path = tmp_path / "m.json"
        path.write_text('{"a": 1}')
        os.utime(path, (1e9, 1e9))

        assert finished(collector(tmp_path, "m.json", since=1e9 + 0.9)) == [{"a": 1}]

    def test_a_pipe_is_not_waited_for(self, tmp_path):
        """
        What is no regular file is not opened.
        """
        os.mkfifo(tmp_path / "m.json")
        found = collector(tmp_path, "m.json")

        assert finished(found) == []
        assert found.notes == ("the metrics file m.json was not written",)

    def test_an_endless_line_does_not_fill_the_memory(self, tmp_path):
        """
        A line without end is read in pieces and noted.
        """
        with (tmp_path / "m.jsonl").open("wb") as file:
            file.write(b'{"a": "')
            file.truncate(2**25)
            file.seek(0, 2)
            file.write(b"\n" + json.dumps({"a": 1}).encode())
        found = collector(tmp_path, "m.jsonl")

        assert finished(found) == [{"a": 1}]
        assert found.notes
