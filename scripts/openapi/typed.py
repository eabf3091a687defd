"""Generates clients from the document and looks whether a model's row has its features.

    typed.py DOCUMENT FOLDER ADDRESS
"""

import importlib
import inspect
import os
import pathlib
import re
import subprocess
import sys

document, folder, address = sys.argv[1:]
folder = pathlib.Path(folder)
folder.mkdir()
scripts = pathlib.Path(sys.executable).parent
sys.path.insert(0, str(folder))

FEATURES = [
    "carrier", "origin", "dest", "weekday", "hour", "distance", "plane_age", "temp", "dewp", "humid", "wind_dir", "wind_speed",
    "wind_gust", "precip", "pressure", "visib",
]
FLIGHT = dict(carrier="UA", origin="EWR", dest="IAH", weekday="Tue", hour=5, distance=1400, wind_gust=None)


def run(*command):
    path = f"{scripts}:{os.environ['PATH']}"
    ran = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=os.environ | {"PATH": path})
    told = ran.stdout + ran.stderr
    # The generator knows JSON, and not the other two forms of this route.
    known = r"WARNING parsing POST /invocations within scoring\.\s+Unsupported content type (text/csv|application/vnd.apache.parquet)"
    if ran.returncode != 0 or "WARNING" in re.sub(known, "", told) or "Unable" in told:
        sys.exit(f"{command[0]}: {told}")
    return ran.stdout


# A whole client: functions a route, attrs classes a schema.
run(scripts / "openapi-python-client", "generate", "--path", document, "--output-path", folder / "client", "--meta", "none")
client = importlib.import_module("client")
row = importlib.import_module("client.models.flights_row").FlightsRow
names = list(inspect.signature(row).parameters)
missing = [name for name in FEATURES if name not in names]
assert not missing, f"FlightsRow has no {missing}"
print("openapi-python-client: FlightsRow(" + ", ".join(str(each) for each in inspect.signature(row).parameters.values()) + ")")

# And it is answered, by types alone.
request = importlib.import_module("client.models.flights_rows_request").FlightsRowsRequest
predict = importlib.import_module("client.api.models.predict_flights")
answer = predict.sync(client=client.Client(base_url=address), body=request(instances=[row(**FLIGHT)]))
prediction = answer.predictions[0]
assert prediction.label in ("on_time", "late"), prediction
assert abs(prediction.probabilities.on_time + prediction.probabilities.late - 1) < 1e-5, prediction
print(f"answered by version {answer.model_version}: {prediction.label}, late with {prediction.probabilities.late:.4f}")

# Types alone, as pydantic has them.
types = folder / "types.py"
run(scripts / "datamodel-codegen", "--input", document, "--input-file-type", "openapi", "--output", folder / "gudgeon_types.py",
    "--output-model-type", "pydantic_v2.BaseModel", "--target-python-version", "3.11")
typed = importlib.import_module("gudgeon_types").FlightsRow
assert set(FEATURES) <= set(typed.model_fields), typed.model_fields
print("datamodel-codegen: FlightsRow.hour is", typed.model_fields["hour"].annotation)
try:
    typed(**(FLIGHT | {"hour": "early"}))
except ValueError as error:
    print("and refuses another type:", str(error).splitlines()[2].strip())
else:
    sys.exit("FlightsRow takes an hour that is no number")
