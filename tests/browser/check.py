"""Looks at the pages of a results root in a browser: check.py RESULTS_ROOT/RUN

Every page is opened in each look (light, dark, narrow, printed, under Jenkins' policy) and asked
what a person would see: nothing overflows, the lanes line up, the cross-hair and the words of the
marks come by mouse and by keyboard. Prints what failed; the exit code says whether anything did.
"""

import functools
import http.server
import pathlib
import re
import sys
import threading

from browser import Browser

JENKINS = "sandbox; default-src 'none'; img-src 'self'; style-src 'self';"
LIMIT = 2_000_000
SECTIONS = ["Checks", "Latency over time", "Throughput", "Node roles", "Failover anatomy"]
SECTIONS += ["Close-ups", "Latency by percentile", "All measures", "Environment", "Again"]

# What runs in the page. A text may reach a pixel beyond its chart: fonts differ.
OVERFLOW = """(() => {
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  return wide > 0 ? `the page is ${wide} px too wide` : "";
})()"""
OUTSIDE = """[...document.querySelectorAll("svg")].flatMap((svg) => {
  const whole = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter((text) => {
    const box = text.getBoundingClientRect();
    return box.left < whole.left - 1 || box.right > whole.right + 1
      || box.top < whole.top - 1 || box.bottom > whole.bottom + 1;
  }).map((text) => `${svg.id}: "${text.textContent}" is outside`);
})"""
COLLIDING = """[...document.querySelectorAll("svg")].flatMap((svg) => {
  const boxes = [...svg.querySelectorAll("text")].filter((text) => text.textContent.length > 1)
    .map((text) => [text.textContent, text.getBoundingClientRect()]);
  const found = [];
  boxes.forEach(([a, one], at) => boxes.slice(at + 1).forEach(([b, two]) => {
    const x = Math.min(one.right, two.right) - Math.max(one.left, two.left);
    const y = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
    if (x > 2 && y > 4) found.push(`${svg.id}: "${a}" and "${b}" overlap`);
  }));
  return found.slice(0, 5);
})"""
# Contrast of every text with the page, by WCAG: 3 is the least for marks and large words.
FAINT = """(() => {
  const parse = (colour) => (colour.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = (colour) => {
    const [r, g, b] = parse(colour).slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const scheme = getComputedStyle(document.documentElement).colorScheme;
  let back = getComputedStyle(document.body).backgroundColor;
  if (parse(back)[3] === 0) back = dark && scheme.includes("dark") ? "rgb(18, 18, 18)" : "rgb(255, 255, 255)";
  const under = light(back);
  const found = [];
  for (const text of document.querySelectorAll("h1, h2, p, td, th, svg text")) {
    if (!text.textContent.trim() || !text.getClientRects().length) continue;
    const style = getComputedStyle(text);
    const colour = text.closest("svg") ? style.fill : style.color;
    // Words without a class stand on marks of their own, whose colours are the same in the dark.
    if (text.closest("svg") && !text.getAttribute("class")) continue;
    const over = light(colour);
    const contrast = (Math.max(over, under) + 0.05) / (Math.min(over, under) + 0.05);
    if (contrast < 3) found.push(`"${text.textContent.slice(0, 40)}": ${colour} on ${back}`);
  }
  return found.slice(0, 5);
})()"""
SEEN = """[...document.querySelectorAll("svg")].filter((svg) => {
  const box = svg.getBoundingClientRect();
  return box.width < 100 || box.height < 8;
}).map((svg) => svg.id + " has no size")"""
# Where the time axes begin and end, in pixels of the window.
AXES = """[...document.querySelectorAll("svg[data-to]")].map((svg) => {
  const box = svg.getBoundingClientRect();
  const scale = box.width / svg.viewBox.baseVal.width;
  return [svg.id, box.left + svg.dataset.left * scale, box.left + svg.dataset.right * scale];
})"""
TICKS = """[...document.querySelectorAll("svg[data-to]")].map((svg) =>
  [...svg.querySelectorAll("text.tk")].filter((text) => /^[\\d.]+ (s|min)$/.test(text.textContent)
    && text.getAttribute("text-anchor") !== "end")
    .map((text) => [text.textContent, text.getBoundingClientRect().left]))"""
HAIRS = """[...document.querySelectorAll("svg[data-to] .xh")].map((line) =>
  [line.getAttribute("visibility"), Math.round(line.getBoundingClientRect().left)])"""
TIP = """(() => {
  const tip = document.getElementById("tip");
  const box = tip.getBoundingClientRect();
  const within = box.left >= 0 && box.right <= innerWidth && box.top >= 0 && box.bottom <= innerHeight;
  return tip.style.display === "block" && box.width > 0 ? [tip.textContent, within] : null;
})()"""
NAMES = """[...document.querySelectorAll("svg")].filter((svg) =>
  !svg.querySelector("title") || !svg.querySelector("desc") || !svg.getAttribute("role"))
  .map((svg) => svg.id + " has no title, description or role")"""
HEADINGS = """[...document.querySelectorAll("h1, h2, h3")].map((h) => +h.tagName[1])"""


class Failures(list):
    """What went wrong, each with the page and the look in which it was seen."""

    where = ""

    def expect(self, holds, what):
        if not holds:
            self.append(f"{self.where}: {what}")

    def none(self, found):
        for what in found:
            self.append(f"{self.where}: {what}")


def place(browser, selector):
    """Brings an element to the middle of the window; its box there."""
    return browser.run(
        f"""(() => {{
          const box = document.querySelector({selector!r});
          box.scrollIntoView({{block: "center", behavior: "instant"}});
          const {{left, top, width, height}} = box.getBoundingClientRect();
          return {{left, top, width, height}};
        }})()"""
    )


def seen(browser, failures, look):
    """What holds for every page in every look."""
    failures.none(line for line in browser.log)
    failures.expect(len(browser.requests) == 1, f"loads {browser.requests[1:]}")
    if look != "print":
        failures.none(filter(None, [browser.run(OVERFLOW)]))
    failures.none(browser.run(OUTSIDE))
    failures.none(browser.run(COLLIDING))
    failures.none(browser.run(FAINT))
    failures.none(browser.run(SEEN))


def report(browser, failures):
    """What only the report has, whatever the look."""
    titles = browser.run('[...document.querySelectorAll("h2")].map((h) => h.textContent)')
    found = [next((i for i, t in enumerate(titles) if t.startswith(s)), None) for s in SECTIONS]
    for section, at in zip(SECTIONS, found):
        failures.expect(at is not None, f"no section {section}")
    failures.expect(None in found or found == sorted(found), f"sections out of order: {titles}")
    axes = browser.run(AXES)
    failures.expect([a[0] for a in axes] == ["latency", "throughput", "roles"], f"plots: {axes}")
    for _, left, right in axes:
        aligned = abs(left - axes[0][1]) < 0.5 and abs(right - axes[0][2]) < 0.5
        failures.expect(aligned, f"lanes are not aligned: {axes}")
    ticks = browser.run(TICKS)
    apart = [abs(a[1] - b[1]) for row in ticks for a, b in zip(ticks[0], row)]
    alike = len({tuple(text for text, _ in row) for row in ticks}) == 1 and ticks[0]
    failures.expect(alike and max(apart) < 1, f"times are not aligned: {ticks}")
    failures.none(browser.run(NAMES))


def headings(browser, failures):
    levels = browser.run(HEADINGS)
    deeper = [b - a for a, b in zip(levels, levels[1:])]
    failures.expect(levels[:1] == [1] and max(deeper, default=0) <= 1, f"headings: {levels}")
    for landmark in ["main", "header"]:
        count = browser.run(f'document.querySelectorAll("{landmark}").length')
        failures.expect(count == 1, f"{count} elements {landmark}")


def mouse(browser, failures):
    """The cross-hair follows the mouse on all plots, and says what was then."""
    for plot in ["latency", "throughput", "roles"]:
        box = place(browser, f"#{plot}")
        left, right, to, width = browser.run(
            f"""(({{dataset: d, viewBox: v}}) => [+d.left, +d.right, +d.to, v.baseVal.width])(
              document.getElementById("{plot}"))"""
        )
        for share in [0.02, 0.5, 0.98]:
            x = round(box["left"] + (left + share * (right - left)) * box["width"] / width)
            browser.move(x, box["top"] + box["height"] / 2)
            units = (x - box["left"]) * width / box["width"]
            time = (units - left) / (right - left) * to
            tip = browser.run(TIP)
            failures.expect(tip is not None, f"no words at the cross-hair of {plot}")
            if tip is None:
                continue
            text, within = tip
            failures.expect(within, f"words outside the window: {text!r}")
            shown = float(text.split(" s")[0])
            failures.expect(abs(shown - time) < to / 1000, f"{plot}: {shown} s shown at {time:.3f} s")
            complete = re.search(r"p50 .*p99 .*\n.*op/s ok", text) and "n1 " in text
            failures.expect(complete, f"{plot}: words are {text!r}")
            hairs = browser.run(HAIRS)
            drawn = all(v == "visible" and abs(at - x) <= 1 for v, at in hairs) and len(hairs) == 3
            failures.expect(drawn, f"cross-hairs at {hairs}, the mouse at {x}")
        browser.move(2, 2)
        failures.expect(browser.run(TIP) is None, "words stay when the mouse has gone")


def keyboard(browser, failures):
    """What the mouse does, without it."""
    browser.move(2, 2)
    browser.run('document.getElementById("latency").focus()')
    first = browser.run(TIP)
    failures.expect(first is not None, "no words at the focused plot")
    browser.press("Home", 36)
    browser.press("ArrowRight", 39)
    browser.press("ArrowRight", 39)
    shown = browser.run(TIP)
    to = browser.run('+document.getElementById("latency").dataset.to')
    moved = shown and abs(float(shown[0].split(" s")[0]) - to / 100) < to / 1000
    failures.expect(moved, f"two arrows from the start lead to {shown}")
    hairs = browser.run(HAIRS)
    together = len({at for _, at in hairs}) == 1 and {v for v, _ in hairs} == {"visible"}
    failures.expect(together, f"cross-hairs by keyboard: {hairs}")
    browser.press("PageDown", 34)
    fault = browser.run(TIP)
    failures.expect(fault and re.search(r"\n[TF]1 ", fault[0]), f"the next fault is {fault}")
    told = browser.run('document.getElementById("latency").getAttribute("aria-valuetext")')
    failures.expect(fault and told == fault[0], f"a screen reader is told {told!r}")
    ring = browser.run(
        """(() => {
          const plot = document.getElementById("latency");
          return plot.matches(":focus-visible") && getComputedStyle(plot).outlineStyle;
        })()"""
    )
    failures.expect(ring == "solid", f"the focus is not seen: {ring}")
    browser.press("Escape", 27)
    failures.expect(browser.run(TIP) is None, "Escape does not take the words away")


def marks(browser, failures):
    """Bars of the anatomy and dots of a close-up tell what they stand for."""
    box = place(browser, "#anatomy g rect")
    browser.move(box["left"] + box["width"] / 2, box["top"] + box["height"] / 2)
    tip = browser.run(TIP)
    failures.expect(tip and "first ok" in tip[0], f"a bar says {tip}")
    browser.run('document.querySelector("#anatomy g").focus()')
    focused = browser.run(TIP)
    failures.expect(focused and focused == tip, f"a focused bar says {focused}")
    browser.press("ArrowDown", 40)
    below = browser.run(TIP)
    failures.expect(below and below != focused, f"the bar below says {below}")
    browser.run('document.querySelector("svg[data-near]").focus()')
    dot = browser.run(TIP)
    failures.expect(dot and "from the fault" in dot[0], f"a dot says {dot}")
    ring = place(browser, "svg[data-near] .pick")
    where = 'document.querySelector("svg[data-near] .pick").getAttribute("cx")'
    chosen = browser.run(where)
    browser.move(2, 2)
    browser.move(ring["left"] + ring["width"] / 2, ring["top"] + ring["height"] / 2)
    again = browser.run(TIP)
    same = again and browser.run(where) == chosen
    failures.expect(same, f"the dot under the mouse says {again}, not {dot}")
    browser.move(2, 2)


def links(browser, failures):
    """Every entry of the contents leads somewhere; the first stop of Tab skips them."""
    lost = browser.run(
        """[...document.querySelectorAll('a[href^="#"]')].map((a) => a.getAttribute("href"))
          .filter((href) => !document.querySelector(href))"""
    )
    failures.expect(not lost, f"links lead nowhere: {lost}")
    browser.open(browser.run("location.href.split('#')[0]"))
    browser.press("Tab", 9)
    skip = browser.run('document.activeElement.getAttribute("class")')
    failures.expect(skip == "skip", f"Tab goes to {skip!r} first")
    reached = set()
    for _ in range(60):
        browser.press("Tab", 9)
        reached.add(browser.run('(document.activeElement.closest("svg") || {id: ""}).id'))
    for plot in ["latency", "throughput", "roles", "anatomy"]:
        failures.expect(plot in reached, f"Tab never comes to {plot}")
    closeups = [plot for plot in reached if plot.startswith("close-")]
    failures.expect(closeups, "Tab never comes to a close-up")


def choice(browser, failures):
    """The list of runs can be narrowed, and says so."""
    rows = browser.run('document.querySelectorAll(".runs tbody tr").length')
    failures.expect(rows >= 1, "no run is listed")
    lost = browser.run(
        """Promise.all([...document.querySelectorAll('.runs a[href$="report.html"]')]
          .map((a) => a.href.startsWith(location.href.replace(/index.html$/, "")) ? "" : a.href))
          .then((lost) => lost.filter(Boolean))"""
    )
    failures.none(f"link leads elsewhere: {link}" for link in lost)
    if rows < 2:
        return
    shown = browser.run(
        """(() => {
          const select = document.querySelectorAll("#filter select")[0];
          const trend = document.querySelector("article[data-plan]");
          select.value = trend ? trend.dataset.plan : select.options[1].value;
          select.dispatchEvent(new Event("change"));
          const rows = [...document.querySelectorAll(".runs tbody tr")].filter((row) => !row.hidden);
          return [select.value, rows.map((row) => row.dataset.plan), document.querySelector("#filter .dim").textContent];
        })()"""
    )
    plan, plans, words = shown
    failures.expect(plans and set(plans) == {plan}, f"{plan} chosen, shown: {plans}")
    failures.expect(words == f"{len(plans)} of {rows} shown", f"it says {words!r}")
    if browser.run('document.querySelectorAll(".trends g").length'):
        box = place(browser, ".trends article:not([hidden]) g")
        browser.move(box["left"] + box["width"] / 2, box["top"] + box["height"] / 2)
        tip = browser.run(TIP)
        failures.expect(tip and re.search(r"\d .s? ?(pass|fail|unknown)", tip[0]), f"a point says {tip}")


LOOKS = {
    "light": {},
    "dark": {"dark": True},
    "narrow": {"width": 420},
    "print": {"media": "print"},
}


def served(root):
    """A server that forbids what Jenkins forbids."""

    class Strict(http.server.SimpleHTTPRequestHandler):
        def end_headers(self):
            self.send_header("Content-Security-Policy", JENKINS)
            super().end_headers()

        def log_message(self, *_):
            pass

    handler = functools.partial(Strict, directory=str(root))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main(run):
    run = pathlib.Path(run).resolve()
    pages = {"report.html": run / "report.html", "index.html": run.parent / "index.html"}
    failures = Failures()
    looks = 0
    server = served(run.parent)
    with Browser() as browser:
        for name, path in pages.items():
            failures.where = name
            failures.expect(path.stat().st_size <= LIMIT, f"{path.stat().st_size} bytes")
            for look, options in LOOKS.items():
                failures.where = f"{name}, {look}"
                browser.look(**options)
                browser.open(path.as_uri())
                seen(browser, failures, look)
                looks += 1
                if name == "report.html":
                    report(browser, failures)
                if look not in ["light", "narrow"]:
                    continue
                headings(browser, failures)
                if name == "report.html" and look == "light":
                    mouse(browser, failures)
                    keyboard(browser, failures)
                    marks(browser, failures)
                    links(browser, failures)
                elif look == "light":
                    choice(browser, failures)
                failures.none(browser.log)
            # Scripts and styles are refused there, in words that the log has: that is the point.
            for dark in [False, True]:
                failures.where = f"{name}, Jenkins{', dark' if dark else ''}"
                browser.look(dark=dark)
                address = f"http://127.0.0.1:{server.server_port}/"
                browser.open(address + path.relative_to(run.parent).as_posix())
                refused = [line for line in browser.log if "Content Security Policy" in line]
                failures.expect(refused, "the policy was not in force")
                browser.log = [line for line in browser.log if not line.startswith("security: ")]
                seen(browser, failures, "Jenkins")
                looks += 1
                if name == "report.html":
                    report(browser, failures)
    server.shutdown()
    for failure in failures:
        print(f"FAIL {failure}")
    print(f"{len(pages)} pages in {looks} looks: {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
