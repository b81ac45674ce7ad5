"""FER-2013 as a CSV file: its codes, its forms, and what is said where a line is wrong."""

import re

import pytest
from faces import CSV_CODES, make_csv, make_store
from mistakes import mistake_of

from ferlab.data.pixel_csv import read_csv
from ferlab.emotions import CSV_EMOTIONS, EMOTIONS

PIXELS = " ".join(str(number % 256) for number in range(48 * 48))


def write(tmp_path, *lines, header="emotion,pixels,Usage"):
    path = tmp_path / "fer2013.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_the_codes_are_those_of_the_challenge(tmp_path):
    names = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # its README
    path = write(tmp_path, *(f"{code},{PIXELS},Training" for code in range(7)))
    store = read_csv(path)
    found = {name: EMOTIONS[label] for name, label in zip(store.names, store.labels, strict=True)}
    assert found == {f"fer2013.csv:{code + 2}": name for code, name in enumerate(names)}
    assert [CSV_EMOTIONS[code] for code in CSV_CODES] == list(EMOTIONS)


@pytest.mark.parametrize("form", ["fer2013.csv", "icml_face_data.csv"])
def test_every_image_keeps_its_label_and_split(tmp_path, form):
    store = make_store((1, 2, 3, 4, 5, 6, 7), twins=4)
    read = read_csv(make_csv(tmp_path / form, store, form))
    assert read.digest == store.digest


def test_byte_order_marks_quotes_line_ends_and_empty_lines_are_no_mistake(tmp_path):
    path = tmp_path / "fer2013.csv"
    lines = ["Emotion, Pixels ,USAGE", f'3,"{PIXELS}", PublicTest', "", f" 4 ,{PIXELS},Training"]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    store = read_csv(path)
    assert [EMOTIONS[label] for label in store.labels] == ["sad", "happy"]


GOOD = f"0,{PIXELS},Training"
MISTAKES = {
    "47×48 pixels": (f"0,{' '.join(PIXELS.split()[: 47 * 48])},Training", 3, "2256 pixels"),
    "one pixel too many": (f"0,{PIXELS} 0,Training", 3, "2305 pixels"),
    "no pixels": ("0,,Training", 3, "0 pixels"),
    "pixel 256": (f"0,256 {PIXELS[2:]},Training", 3, "'256'"),
    "pixel -1": (f"0,-1 {PIXELS[2:]},Training", 3, "'-1'"),
    "pixel 0.5": (f"0,0.5 {PIXELS[2:]},Training", 3, "'0.5'"),
    "pixel in other digits": (f"0,٣ {PIXELS[2:]},Training", 3, "'٣'"),
    "emotion 7": (f"7,{PIXELS},Training", 3, "from 0 to 6; got '7'"),
    "emotion -1": (f"-1,{PIXELS},Training", 3, "got '-1'"),
    "emotion by name": (f"happy,{PIXELS},Training", 3, "got 'happy'"),
    "no emotion": (f",{PIXELS},Training", 3, "got ''"),
    "Usage misspelt": (f"0,{PIXELS},PublicTset", 3, "did you mean 'PublicTest'?"),
    "Usage empty": (f"0,{PIXELS},", 3, "got ''"),
    "a column too few": (f"0,{PIXELS}", 3, "2 columns, the header has 3"),
    "a column too many": (f"{GOOD},more", 3, "4 columns, the header has 3"),
    "cut off in the pixels": (GOOD[:3000], 3, "2 columns, the header has 3"),
    "cut off in a quote": ('0,"1 2 3', 3, "unexpected end"),
    "a field without end": (f"0,{'1' * 200_000},Training", 3, "field larger"),
    "bytes of another file": ("\0\1\2", 3, "columns"),
}


@pytest.mark.parametrize(("line", "number", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_wrong_line_is_named_with_the_file(tmp_path, line, number, said):
    path = write(tmp_path, GOOD, line)
    told = mistake_of(read_csv, path)
    assert re.match(re.escape(f"{path}, line {number}: "), told)
    assert said in told
    assert len(told) < 400


@pytest.mark.parametrize(
    "header",
    [
        "",
        "pixels",
        "emotion,Usage",
        "emotion;pixels;Usage",
        "0,1 2 3,Training",
        "emotion,emotion,pixels",
    ],
)
def test_another_header_is_refused(tmp_path, header):
    told = mistake_of(read_csv, write(tmp_path, GOOD, header=header))
    assert "line 1: a header with the columns emotion, pixels" in told


def test_a_file_without_images_is_refused(tmp_path):
    assert "no rows" in mistake_of(read_csv, write(tmp_path))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "fer2013.csv"
    path.write_bytes(f"emotion,pixels\n0,{PIXELS}\n".encode() + b"\xff\xfe\n")
    assert "is not text" in mistake_of(read_csv, path)
