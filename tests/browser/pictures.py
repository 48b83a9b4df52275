"""The top of a report as pictures, light and dark: pictures.py REPORT FOLDER"""

import pathlib
import sys

from browser import Browser
from PIL import Image

WIDTH = 1200
# Where the picture ends: below this section.
LAST = "to-anatomy"
COLOURS = 256


def main(report, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with Browser() as browser:
        for name in ["light", "dark"]:
            browser.look(width=WIDTH, dark=name == "dark")
            browser.open(pathlib.Path(report).resolve().as_uri())
            bottom = browser.run(f'document.getElementById("{LAST}").getBoundingClientRect().bottom')
            path = folder / f"report-{name}.png"
            clip = {"x": 0, "y": 0, "width": WIDTH, "height": round(bottom) + 8}
            browser.picture(path, clip=clip)
            # Few colours are enough for charts, and a fraction of the bytes.
            Image.open(path).convert("RGB").quantize(COLOURS, kmeans=2).save(path, optimize=True)
            print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
