"""Writes flights.csv and flights.parquet, the same rows in both forms. Needs pyarrow.

The columns have the types that data frames have: numbers with and without missing values, a dictionary of strings, a plain
string, a timestamp in nanoseconds, a boolean label.
"""

from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

N_ROWS = 200
HERE = Path(__file__).resolve().parent


def main() -> None:
    places = range(N_ROWS)
    carriers = [None if place % 13 == 5 else ["UA", "B6", "DL", "Zürich"][place % 4] for place in places]
    hours = [place % 24 for place in places]
    temps = [None if place % 7 == 3 else -10 + place * 0.375 for place in places]
    times = [datetime(2013, 1, 1, 5, 15) + timedelta(minutes=37 * place) for place in places]
    late = [place % 3 == 0 for place in places]
    table = pa.table(
        {
            "other": pa.array([[place] for place in places], pa.list_(pa.int32())),
            "id": pa.array([f"F{place}" for place in places]),
            "time": pa.array(times, pa.timestamp("ns")),
            "late": pa.array(late),
            "carrier": pa.array(carriers).dictionary_encode(),
            "hour": pa.array(hours, pa.int64()),
            "temp": pa.array(temps, pa.float64()),
        }
    )
    pq.write_table(table, HERE / "flights.parquet", compression="zstd", row_group_size=64)
    with open(HERE / "flights.csv", "w", newline="") as file:
        file.write("carrier,hour,temp,late,time,id\n")
        for row in zip(carriers, hours, temps, late, times, places):
            carrier, hour, temp, is_late, time, place = row
            temp = "" if temp is None else f"{temp:g}"
            file.write(f"{carrier or ''},{hour},{temp},{int(is_late)},{time:%Y-%m-%dT%H:%M:%S},F{place}\n")


if __name__ == "__main__":
    main()
