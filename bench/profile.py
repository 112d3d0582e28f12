"""Where the time goes, by stage: `make profile`. Sampling costs a few per cent that `make bench` does not have."""

import argparse
import json
import tempfile
from pathlib import Path

from bench.engines import MONGO, SQLITE
from bench.forwarding import forward
from bench.report import RESULTS
from bench.run import shapes

FUNCTIONS = 3
SMALL = 0.01


def profiled(name: str, engine: str) -> str:
    """One shape's table, in Markdown: microseconds an event, the dearest functions of each stage beside it."""
    shape = next(each for each in shapes(full=False) if each.name == name)
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "profile.json"
        result = forward(shape, "bench.sampled", (str(out),), engine=engine)
        stages: dict[str, dict[str, float]] = json.loads(out.read_text())
    total_s = sum(sum(functions.values()) for functions in stages.values())
    lines = [
        f"## {name}, {engine}: {result.files:,} files of {result.events // result.files:,} events, "
        f"{result.cpu_s_per_million:.1f} CPU-s/M",
        "",
        "| stage | µs an event | share | most of it in |",
        "|---|---|---|---|",
    ]
    for stage, functions in sorted(stages.items(), key=lambda each: -sum(each[1].values())):
        spent_s = sum(functions.values())
        if spent_s >= SMALL * total_s:
            most = ", ".join(
                f"`{each.rpartition(' ')[2]}` {functions[each] / spent_s:.0%}" for each in list(functions)[:FUNCTIONS]
            )
            lines.append(f"| {stage} | {spent_s / result.events * 1e6:.2f} | {spent_s / total_s:.0%} | {most} |")
    return "\n".join(lines)


def main() -> None:
    """Profile some shapes and keep what was found."""
    parser = argparse.ArgumentParser(prog="make profile ARGS=…", description=__doc__.partition("\n")[0])
    parser.add_argument("shapes", nargs="*", default=["busy", "typical", "quiet"])
    parser.add_argument("--engine", choices=(SQLITE, MONGO), default=SQLITE)
    asked = parser.parse_args()
    texts = [profiled(name, asked.engine) for name in asked.shapes]
    text = "# Where the time goes\n\nStart-up included. Made by `make profile`.\n\n" + "\n\n".join(texts) + "\n"
    print(text)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "profile.md").write_text(text)


if __name__ == "__main__":
    main()
