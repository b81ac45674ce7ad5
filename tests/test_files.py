"""Files that appear whole or not at all."""

from pathlib import Path

import pytest
from mistakes import mistake_of

from ferlab.files import read_json, read_yaml, write_json, write_text


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "metrics.json"
    write_text(path, "before")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"loss": float("nan")})
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half a pair: \ud800")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_made(tmp_path):
    write_json(tmp_path / "a/b/c.json", {"é": 1})
    assert (tmp_path / "a/b/c.json").read_text(encoding="utf-8") == '{\n  "é": 1\n}\n'


NO_MAPPINGS = {
    "cut": "a: [1, 2",
    "no mapping": "just words",
    "a list": "[1, 2]",
    "nothing": "",
    "zeros": "\0\0\0",
    "deep": "[" * 10_000,
    "deep and whole": "a: " + "[" * 10_000 + "]" * 10_000,
    "deep by dashes": "- " * 100_000,
    "an object": "!!python/object/apply:os.mkdir [made]",
    "no truth value": "a: !!bool x",
    "no integer": "a: !!int ''",
    "no time": "a: !!timestamp x",
    "an alias": "a: &a [1]\nb: *a",
    "laughs": "a0: &a0 [x, x]\n"
    + "\n".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 99)),
    "itself": "&a [*a]",
    "a number of 6,000 digits": f"a: 0x{'f' * 5000}",
    "a million numbers": "a: [" + "1, " * 400_000 + "]",
}


@pytest.mark.parametrize("text", NO_MAPPINGS.values(), ids=NO_MAPPINGS)
@pytest.mark.parametrize("read", [read_yaml, read_json])
def test_what_is_no_plain_mapping_is_refused_by_name(tmp_path, read, text):
    path = tmp_path / "file"
    path.write_text(text)
    line = mistake_of(read, path)
    assert line.startswith(f"{path} is damaged (")
    assert len(line) < 300 + len(str(path))
    assert not Path("made").exists()


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": -Infinity}', '{"a": ' + "9" * 5000 + "}"])
def test_a_number_that_json_does_not_have_is_refused(tmp_path, text):
    path = tmp_path / "metrics.json"
    path.write_text(text)
    assert "metrics.json is damaged (" in mistake_of(read_json, path)


@pytest.mark.parametrize("read", [read_yaml, read_json])
def test_what_is_no_text_is_refused_by_name(tmp_path, read):
    path = tmp_path / "file"
    path.write_bytes(b"\xff\xfe\x00")
    assert mistake_of(read, path).startswith(f"{path} is damaged (")
