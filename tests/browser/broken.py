"""Breaks a good report in many ways and expects check.py to notice each: broken.py RESULTS_ROOT/RUN"""

import contextlib
import io
import pathlib
import shutil
import sys
import tempfile

import check

# What is broken, what is replaced by what, what the check must say.
BREAKS = [
    ("a script error", '"use strict";', '"use strict"; nowhere();', "ReferenceError"),
    ("a lane moved", '<svg id="roles" ', '<svg id="roles" style="transform:translate(3px)" ', "not aligned"),
    ("an image from elsewhere", "</main>", '<img src="https://example.org/x.png"></main>', "loads"),
    ("too wide a page", "</main>", '<div style="width:3000px">x</div></main>', "too wide"),
    ("words outside a chart", 'text-anchor="end" class="tk"', 'dx="-99" class="tk"', "outside"),
    ("no way to close", 'event.key === "Escape"', "false", "Escape"),
    ("an ink that knows no dark", 'class="tx"', 'class="lost"', "rgb(28, 33, 40) on"),
    ("the wrong time", "[time.toFixed(3)", "[(time * 1.1).toFixed(3)", "shown at"),
    ("no keyboard", "plot.tabIndex = 0", "plot.tabIndex = -1", "Tab never comes to latency"),
    ("a silent bar", "mark.addEventListener", "(() => {})", "a bar says None"),
    ("a section lost", "<h2>All measures", "<h2>Measures", "no section"),
]


def main(run):
    source = pathlib.Path(run).resolve()
    unnoticed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / source.name
        copy.mkdir()
        shutil.copy(source.parent / "index.html", folder)
        good = (source / "report.html").read_text()
        for name, old, new, told in BREAKS:
            assert old in good, f"{name}: the page has no {old}"
            (copy / "report.html").write_text(good.replace(old, new))
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                code = check.main(copy)
            noticed = code == 1 and told in said.getvalue()
            unnoticed += not noticed
            print(f"{'noticed' if noticed else 'NOT NOTICED'}: {name}", flush=True)
            if not noticed:
                print(said.getvalue()[:600])
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
