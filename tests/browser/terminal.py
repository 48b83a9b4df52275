"""What a terminal shows, as SVG: terminal.py COMMAND FILE... >picture.svg

Understands the colours and weights that chaos uses; anything else is an error, so that the picture
never shows what the terminal does not.
"""

import pathlib
import re
import sys
from xml.sax.saxutils import escape

COLUMN, LINE, MARGIN, BAR = 8.43, 19, 20, 30
FORE, BACK, FRAME = "#d7dde4", "#10151c", "#2a323c"
COLOURS = {
    30: "#6e7781", 31: "#ff7b72", 32: "#56d364", 33: "#e3b341", 34: "#79c0ff",
    35: "#d2a8ff", 36: "#76e3ea", 37: FORE, 90: "#8b949e",
    91: "#ffa198", 92: "#7ee787", 93: "#f2cc60", 94: "#a5d6ff", 95: "#e2c5ff", 96: "#b3f0ff",
}  # fmt: skip


def pieces(line):
    """A line as (text, style) in order."""
    style = {}
    for text, codes in re.findall(r"([^\x1b]*)(?:\x1b\[([\d;]*)m)?", line):
        if text:
            yield text, dict(style)
        for code in map(int, filter(None, (codes or "").split(";"))) if codes else []:
            if code == 0:
                style = {}
            elif code == 1:
                style["font-weight"] = "bold"
            elif code == 2:
                style["fill-opacity"] = ".65"
            elif code in (22, 39):
                style.pop("font-weight" if code == 22 else "fill", None)
            elif code in COLOURS:
                style["fill"] = COLOURS[code]
            else:
                raise SystemExit(f"unknown colour {code}")
    # A reset without a number ends everything as well; none is open at the end of a line.


def main(command, *files):
    text = "".join(pathlib.Path(file).read_text() for file in files)
    text = text.replace("\x1b[m", "\x1b[0m")
    # The folder was a temporary one; a reader's is called `results`.
    text = re.sub(r"\S*/results/", "results/", text)
    lines = [f"\x1b[90m$\x1b[0m {command}", ""] + text.rstrip("\n").split("\n")
    plain = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines]
    width = round(max(82, *map(len, plain)) * COLUMN + 2 * MARGIN)
    height = BAR + len(lines) * LINE + MARGIN
    print(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(command)}" font-size="14" fill="{FORE}" '
        "font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\">"
    )
    print(f'<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="9" fill="{BACK}" stroke="{FRAME}"/>')
    for at, colour in enumerate(["#ff5f57", "#febc2e", "#28c840"]):
        print(f'<circle cx="{20 + at * 18}" cy="17" r="5.5" fill="{colour}"/>')
    for at, line in enumerate(lines):
        y = BAR + (at + 1) * LINE
        x = 0
        for piece, style in pieces(line):
            # Each piece stands at its own column, whatever the width of the font.
            begin = MARGIN + x * COLUMN
            x += len(piece)
            if not piece.strip():
                continue
            looks = "".join(f' {name}="{value}"' for name, value in style.items())
            print(
                f'<text x="{begin:.1f}" y="{y}" textLength="{len(piece) * COLUMN:.1f}" '
                f'xml:space="preserve"{looks}>{escape(piece)}</text>'
            )
    print("</svg>")


if __name__ == "__main__":
    main(*sys.argv[1:])
