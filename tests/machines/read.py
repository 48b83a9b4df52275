"""Reads every file of a run that is meant for machines, and compares them with each other.

usage: read.py ROOT RUN_FOLDER SCRATCH (with java-KIND.hgrm of Java's HistogramLogProcessor)
"""

import csv
import json
import math
import pathlib
import re
import sys

import jsonschema
import yaml
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from junitparser import Error, Failure, JUnitXml, Skipped
from prometheus_client.openmetrics.parser import text_string_to_metric_families

ROOT, FOLDER, SCRATCH = (pathlib.Path(argument) for argument in sys.argv[1:4])
SUMMARY = json.loads((FOLDER / "summary.json").read_text())
QUANTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9, "max": 100.0}
failures = []


def expect(holds, text):
    if not holds:
        failures.append(text)


def close(one, other, tolerance=0.002):
    """Three significant digits, kept by two programs."""
    return abs(one - other) <= tolerance * max(abs(one), abs(other), 1e-3)


def json_lines(name):
    with open(FOLDER / name, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def latencies():
    """By kind of operation, from history.jsonl alone: from the intended start of an operation that
    began under load to its completion, or to the end of the load."""
    phases = [event for event in json_lines("events.jsonl") if event.get("kind") == "phase"]
    begin = next(event["time"] for event in phases if event["phase"] == "load")
    end = next(e["time"] for e in phases if e["phase"] in ("drain", "final_reads", "end"))
    found = {"all": [], "read": [], "write": [], "cas": []}
    running = {}
    for event in json_lines("history.jsonl")[1:]:
        if event["type"] == "invoke":
            running[event["process"]] = event
            continue
        began = running.pop(event["process"])
        if begin <= began["time"]:
            length = event["time"] - began.get("intended", began["time"])
            found["all"].append(length)
            found[began["f"]].append(length)
    for began in running.values():
        if begin <= began["time"]:
            length = max(end - began.get("intended", began["time"]), 0)
            found["all"].append(length)
            found[began["f"]].append(length)
    return {kind: sorted(values) for kind, values in found.items()}


def fits(value, values, percent):
    """Whether it is the value at a share, or (as programs round ranks differently) its neighbour."""
    rank = max(math.ceil(percent / 100 * len(values)), 1) - 1
    near = values[max(rank - 1, 0) : rank + 2]
    return near[0] * 0.998 <= value <= near[-1] * 1.002 + 1e3


def interval_log(kind):
    """The log with Python's reader, its intervals added up."""
    reference = HdrHistogram(1, 3600 * 10**9, 3)
    total = HdrHistogram(1, 3600 * 10**9, 3)
    lines = (FOLDER / "latency.hlog").read_text().splitlines(keepends=True)
    wanted = f"Tag={kind}," if kind != "all" else None
    kept = [
        line
        for line in lines
        if not line[0].isdigit() and not line.startswith("Tag=")
        or (line.startswith(wanted) if wanted else line[0].isdigit())
    ]
    part = SCRATCH / f"{kind}.hlog"
    part.write_text("".join(kept))
    reader = HistogramLogReader(str(part), reference)
    intervals = 0
    while (interval := reader.get_next_interval_histogram()) is not None:
        total.add(interval)
        intervals += 1
    expect(
        intervals == sum(line[0].isdigit() or line.startswith("Tag=") for line in kept),
        f"{kind}: Python has read {intervals} intervals",
    )
    return total


def percentile_file(path):
    """Rows of value in ms, share and count, and what its foot says."""
    text = path.read_text()
    rows = [
        (float(row[1]), float(row[2]), int(row[3]))
        for row in re.finditer(r"^\s*([\d.]+)\s+([\d.]+)\s+(\d+)(?:\s+[\d.]+)?\s*$", text, re.M)
    ]
    foot = re.search(r"#\[Max\s+=\s+([\d.]+), Total count\s+=\s+(\d+)\]", text)
    expect(rows and foot, f"{path.name}: is no table of percentiles")
    return rows, float(foot[1]), int(foot[2])


def at(rows, percent):
    """The value of the first row that reaches the share."""
    return next(value for value, share, _ in rows if share * 100 >= percent - 1e-9)


def histograms():
    recorded = latencies()
    for kind, phases in SUMMARY["latency"].items():
        told = phases["all"]
        own = recorded[kind]
        expect(told["n"] == len(own), f"{kind}: {told['n']} in the summary, {len(own)} recorded")
        python = interval_log(kind)
        expect(python.get_total_count() == told["n"], f"{kind}: Python counts otherwise")
        file = "latency.hgrm" if kind == "all" else f"latency-{kind}.hgrm"
        tables = {
            "ours": percentile_file(FOLDER / file),
            "Java's": percentile_file(SCRATCH / f"java-{kind}.hgrm"),
        }
        for word, percent in QUANTILES.items():
            value = python.get_value_at_percentile(percent)
            expect(fits(told[word], own, percent), f"{kind} {word}: {told[word]} in the summary")
            expect(fits(value, own, percent), f"{kind} {word}: {value} by Python")
        for whose, (rows, highest, count) in tables.items():
            expect(count == told["n"], f"{kind}: {whose} table counts {count}")
            expect(close(highest * 1e6, told["max"]), f"{kind}: {whose} table ends at {highest}")
            expect(rows[-1][2] == count, f"{kind}: {whose} last row is not all")
            for percent in (50.0, 100.0):
                value = at(rows, percent) * 1e6
                expect(fits(value, own, percent), f"{kind}: {whose} {percent} % is {value}")
    return f"{SUMMARY['latency']['all']['all']['n']} latencies, in Python and Java"


def junit():
    suites = list(JUnitXml.fromfile(str(FOLDER / "junit.xml")))
    expect(len(suites) == 1, f"junit.xml has {len(suites)} suites")
    suite = suites[0]
    verdicts = [check["verdict"] for check in SUMMARY["checks"]]
    counts = (suite.tests, suite.failures, suite.errors, suite.skipped)
    wanted = (len(verdicts), verdicts.count("fail"), verdicts.count("unknown"), 0)
    expect(counts == wanted, f"junit.xml counts {counts}, the summary {wanted}")
    for case, check in zip(suite, SUMMARY["checks"]):
        kinds = {Failure: "fail", Error: "unknown", Skipped: "skipped"}
        found = [kinds[type(result)] for result in case.result] or ["pass"]
        expect(
            case.name == check["name"] and found == [check["verdict"]],
            f"junit.xml: {case.name} is {found}, the summary says {check['verdict']}",
        )
    return f"{suite.tests} test cases"


def schemas():
    def validator(name):
        schema = json.loads((ROOT / f"docs/schema/{name}.schema.json").read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        return jsonschema.Draft202012Validator(schema)

    def mistakes(validator, value):
        return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)]

    found = mistakes(validator("summary"), SUMMARY)
    expect(not found, f"summary.json is not valid: {found}")
    plans = validator("plan")
    good = [FOLDER / "plan.yaml", FOLDER / "plan.resolved.yaml", *SCRATCH.glob("starter.yaml")]
    good += (ROOT / "plans").rglob("*.yaml")
    for path in good:
        found = mistakes(plans, yaml.safe_load(path.read_text()))
        expect(not found, f"{path} is not valid: {found}")
    text = (FOLDER / "plan.yaml").read_text()
    broken = [
        text.replace("kill: {node: leader", "kil: {node: leader"),
        text.replace("timeout: 30s", "timeout: 30"),
        text.replace("version: 1", "version: 2"),
        text.replace("linearizable", "linearisable"),
    ]
    for wrong in broken:
        if wrong != text:
            expect(mistakes(plans, yaml.safe_load(wrong)), "a broken plan is not flagged")
    return f"{len(good)} plans valid, {len(broken)} broken ones flagged"


def openmetrics():
    samples = {}
    for family in text_string_to_metric_families((FOLDER / "metrics.prom").read_text()):
        for sample in family.samples:
            labels = dict(sample.labels)
            expect(labels.pop("plan") == SUMMARY["plan"], "metrics.prom is of another plan")
            labels.pop("system")
            samples[(sample.name, *sorted(labels.items()))] = sample.value
    for outcome, count in SUMMARY["operations"].items():
        expect(
            samples[("chaos_operations", ("outcome", outcome))] == count,
            f"metrics.prom: {outcome} is not {count}",
        )
    for check in SUMMARY["checks"]:
        labels = {"check": check["name"], "class": check["class"], "chaos_check": check["verdict"]}
        value = samples.get(("chaos_check", *sorted(labels.items())))
        expect(value == 1, f"metrics.prom: {check['name']} is not {check['verdict']}")
    for name, metric in SUMMARY["metrics"].items():
        scale, family = {
            "ns": (1e9, "chaos_measure_seconds"),
            "ratio": (1, "chaos_measure_ratio"),
        }.get(metric["unit"], (1, "chaos_measure_number"))
        if metric["p50"] is not None:
            value = samples[(family, ("metric", name), ("quantile", "0.5"))]
            expect(close(value * scale, metric["p50"], 1e-9), f"metrics.prom: {name} is {value}")
    return f"{len(samples)} samples"


def trials():
    with open(FOLDER / "trials.csv", newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    expect(len(rows) == len(SUMMARY["trials"]), f"trials.csv has {len(rows)} rows")
    for row, trial in zip(rows, SUMMARY["trials"]):
        pairs = {
            "trial": trial["index"],
            "fault_id": trial["fault_id"],
            "fault": trial["fault"],
            "label": trial["label"],
            "nodes": " ".join(trial["nodes"]),
            "outcome": trial["outcome"],
            "landed_ns": trial["landed_ns"],
            "detect_first_ns": trial["phases"]["detect"],
            "elect_ns": trial["phases"]["elect"],
            "sync_leader_ns": trial["phases"]["sync"],
            "reroute_ns": trial["phases"]["reroute"],
            "recover_first_ns": trial["recover_first_ns"],
            "recover_steady_ns": trial["recover_steady_ns"],
            "winner": trial["winner"],
        }
        for column, value in pairs.items():
            wanted = "" if value is None else str(value)
            expect(row[column] == wanted, f"trials.csv: {column} is {row[column]}, not {wanted}")
    return f"{len(rows)} rows"


for read in (schemas, junit, histograms, openmetrics, trials):
    try:
        print(f"{read.__name__}: {read()}")
    except Exception as error:  # noqa: BLE001 (whatever a reader throws is its refusal)
        failures.append(f"{read.__name__}: {type(error).__name__}: {error}")
for failure in failures:
    print(f"FAIL {failure}", file=sys.stderr)
sys.exit(1 if failures else 0)
