// The page says everything without this. It adds a cross-hair shared by the charts over the whole
// run, the figures under it, and words for the marks, by mouse and by keyboard.
(() => {
  "use strict";
  const all = (what, where = document) => [...where.querySelectorAll(what)];
  const tip = document.getElementById("tip");
  const plots = all("svg[data-to]");
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  const nanos = (ns) => {
    const units = [[1e9, "s", 999.5e6], [1e6, "ms", 999500], [1e3, "µs", 1000], [1, "ns", 0]];
    const [size, unit] = units.find((unit) => ns >= unit[2]);
    const value = ns / size;
    return value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0) + " " + unit;
  };

  // From the window to the chart's own units, and back.
  const scale = (svg) => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  const inside = (svg, event) => {
    const box = svg.getBoundingClientRect();
    return [(event.clientX - box.left) / scale(svg), (event.clientY - box.top) / scale(svg)];
  };
  const outside = (svg, x, y) => {
    const box = svg.getBoundingClientRect();
    return [box.left + x * scale(svg), box.top + y * scale(svg)];
  };

  // What the words belong to: they go when that is left.
  let owner = null;
  const tell = (mark, text, x, y) => {
    owner = mark;
    tip.textContent = text;
    tip.style.display = "block";
    const left = x + 16 + tip.offsetWidth > innerWidth ? x - 16 - tip.offsetWidth : x + 16;
    tip.style.left = Math.max(left, 4) + "px";
    tip.style.top = clamp(y + 14, 4, innerHeight - tip.offsetHeight - 4) + "px";
  };
  const hide = () => {
    owner = null;
    tip.style.display = "none";
    for (const line of all(".xh")) line.setAttribute("visibility", "hidden");
    for (const ring of all(".pick")) ring.setAttribute("visibility", "hidden");
  };
  const leave = (event) => event.currentTarget === owner && hide();

  // What was going on at a moment, in seconds.
  const cells = (name) => (tip.dataset[name] || "").split(" ").map((cell) => cell.split("/"));
  const latency = cells("latency");
  const rates = cells("rates");
  const faults = (tip.dataset.faults || "").split("\n").filter(Boolean).map((line) => {
    const [from, to, ...name] = line.split(" ");
    return { from: +from, to: +to, name: name.join(" ") };
  });
  const lanes = (tip.dataset.lanes || "").split("\n").map((line) => line.split(",").map((span) => span.split(" ")));
  const moment = (time, end) => {
    const words = [time.toFixed(3) + " s"];
    const [p50, p99] = latency[clamp(Math.floor((time / end) * latency.length), 0, latency.length - 1)];
    const took = (us) => (us > 0 ? nanos(us * 1e3) : "–");
    words.push(`p50 ${took(p50)}  p99 ${took(p99)}`);
    const width = +tip.dataset.width;
    const [ok, differs, info, fail] = rates[clamp(Math.floor(time / width), 0, rates.length - 1)];
    let ended = `${Math.round(ok / width)} op/s ok`;
    if (+differs) ended += `, ${Math.round(differs / width)} cas differed`;
    if (+info) ended += `, ${Math.round(info / width)} unknown`;
    if (+fail) ended += `, ${Math.round(fail / width)} failed`;
    words.push(ended);
    const roles = lanes.map((spans, at) => {
      const span = spans.filter((span) => +span[0] <= time).pop();
      return span && span[1] ? `n${at + 1} ${span[1]}` : "";
    });
    if (roles.some(Boolean)) words.push(roles.filter(Boolean).join("  "));
    const now = faults.filter((fault) => fault.from <= time && time <= fault.to);
    return words.concat(now.slice(0, 4).map((fault) => fault.name)).join("\n");
  };

  let at = faults.length ? faults[0].from : 0;
  const hair = (plot, time, y) => {
    const { left, right, to } = plot.dataset;
    at = clamp(time, 0, +to);
    const x = +left + (at / to) * (right - left);
    for (const line of all(".xh")) {
      line.setAttribute("transform", `translate(${x} 0)`);
      line.setAttribute("visibility", "visible");
    }
    const text = moment(at, +to);
    tell(plot, text, ...outside(plot, x, y));
    plot.setAttribute("aria-valuenow", at.toFixed(3));
    plot.setAttribute("aria-valuetext", text);
  };
  const middle = (plot) => plot.viewBox.baseVal.height / 2;
  for (const plot of plots) {
    const { left, right, to } = plot.dataset;
    slides(plot, 0, to);
    plot.addEventListener("pointermove", (event) => {
      const [x, y] = inside(plot, event);
      const time = ((x - left) / (right - left)) * to;
      time < 0 || time > +to ? hide() : hair(plot, time, y);
    });
    plot.addEventListener("focus", () => hair(plot, at, middle(plot)));
    plot.addEventListener("keydown", (event) => {
      const step = (to / 200) * (event.shiftKey ? 10 : 1);
      const later = faults.find((fault) => fault.from > at + 1e-3);
      const earlier = faults.filter((fault) => fault.from < at - 1e-3).pop();
      const next = {
        ArrowLeft: at - step,
        ArrowRight: at + step,
        Home: 0,
        End: +to,
        PageDown: later ? later.from : at,
        PageUp: earlier ? earlier.from : at,
      }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      hair(plot, next, middle(plot));
    });
  }

  // A chart that is focused as a whole and asked for one value after another.
  function slides(plot, low, high) {
    plot.tabIndex = 0;
    plot.setAttribute("role", "slider");
    plot.setAttribute("aria-valuemin", low);
    plot.setAttribute("aria-valuemax", high);
    plot.setAttribute("aria-valuenow", low);
    plot.addEventListener("pointerleave", leave);
    plot.addEventListener("blur", leave);
  }

  // Close-ups: every dot is an operation.
  for (const plot of all("svg[data-near]")) {
    const [from, to, left, right, top, bottom, low, high] = plot.dataset.near.split(" ").map(Number);
    const dots = [];
    for (const [kind, word] of [["ok", "ok"], ["df", "value differs"], ["no", "failed"], ["in", "outcome unknown"]]) {
      for (const path of all("path." + kind, plot)) {
        for (const [, x, y] of path.getAttribute("d").matchAll(/M(\S+) (\S+)h\.01/g)) dots.push([+x, +y, word]);
      }
    }
    if (!dots.length) continue;
    dots.sort((a, b) => a[0] - b[0]);
    slides(plot, 0, dots.length - 1);
    let chosen = dots.findIndex(([x]) => x >= left + (-from / (to - from)) * (right - left));
    const pick = (index) => {
      chosen = clamp(index, 0, dots.length - 1);
      const [x, y, word] = dots[chosen];
      const time = (from + ((x - left) / (right - left)) * (to - from)) * 1e3;
      const took = nanos(low * Math.pow(high / low, (bottom - y) / (bottom - top)));
      const text = `${word} after ${took}\n${time < 0 ? "" : "+"}${time.toFixed(1)} ms from the fault`;
      hide();
      const ring = plot.querySelector(".pick");
      for (const [name, value] of [["cx", x], ["cy", y], ["visibility", "visible"]]) ring.setAttribute(name, value);
      tell(plot, text, ...outside(plot, x, y));
      plot.setAttribute("aria-valuenow", chosen);
      plot.setAttribute("aria-valuetext", text);
    };
    plot.addEventListener("pointermove", (event) => {
      const [x, y] = inside(plot, event);
      const far = (dot) => Math.hypot(dot[0] - x, dot[1] - y);
      const near = dots.reduce((best, dot, index) => (far(dot) < far(dots[best]) ? index : best), 0);
      far(dots[near]) < 14 ? pick(near) : hide();
    });
    plot.addEventListener("focus", () => pick(chosen < 0 ? 0 : chosen));
    plot.addEventListener("keydown", (event) => {
      const next = { ArrowLeft: chosen - 1, ArrowRight: chosen + 1, Home: 0, End: dots.length }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      pick(next);
    });
  }

  // Marks that carry words: one stop of the Tab key for each chart, arrows within it.
  for (const plot of all("svg")) {
    const marks = all("g > title", plot).map((title) => title.parentNode);
    marks.forEach((mark, index) => {
      const title = mark.querySelector("title");
      const text = title.textContent;
      // The browser would show it as well, later.
      title.remove();
      plot.setAttribute("role", "group");
      mark.setAttribute("role", "img");
      mark.setAttribute("aria-label", text);
      mark.tabIndex = index ? -1 : 0;
      mark.addEventListener("pointermove", (event) => tell(mark, text, event.clientX, event.clientY));
      mark.addEventListener("pointerleave", leave);
      mark.addEventListener("blur", leave);
      mark.addEventListener("focus", () => {
        const box = mark.getBoundingClientRect();
        tell(mark, text, box.left + Math.min(box.width / 2, 200), box.bottom - 10);
      });
      mark.addEventListener("keydown", (event) => {
        const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
        const next = step && marks[index + step];
        if (!next) return;
        event.preventDefault();
        mark.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      });
    });
  }
  addEventListener("keydown", (event) => event.key === "Escape" && hide());

  // On a narrow screen the charts over the whole run scroll together.
  const strips = all(".scroll");
  for (const strip of strips) {
    strip.addEventListener("scroll", () => {
      for (const other of strips) if (other !== strip) other.scrollLeft = strip.scrollLeft;
    });
  }
})();
