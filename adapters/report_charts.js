// Draws the report's charts: one time axis for all, drag to zoom, a double click to zoom out, values under the pointer.
(() => {
  "use strict";
  const charts = JSON.parse(document.getElementById("chart-data").textContent);
  const figures = [...document.querySelectorAll("figure[data-chart]")];
  const SVG = "http://www.w3.org/2000/svg";
  const TOP = 8, BOTTOM = 24, RIGHT = 10;
  const full = extent();
  let view = full;

  function extent() {
    let from = Infinity, to = -Infinity;
    for (const chart of Object.values(charts)) {
      for (const { t } of chart.lines) {
        if (t.length) { from = Math.min(from, t[0]); to = Math.max(to, t[t.length - 1]); }
      }
    }
    return to > from ? [from, to] : [0, 1];
  }

  const element = (name, attributes, parent) => {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    parent?.appendChild(node);
    return node;
  };

  // index of the last time at or before t, -1 where there is none
  const before = (times, t) => {
    let low = 0, high = times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle] <= t) low = middle + 1; else high = middle;
    }
    return low - 1;
  };

  const number = (digits) => new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const minus = (text) => text.replace("-", "\u2212");
  // digits after the point that a step needs: 1 for 0.5, 2 for 0.25
  function digits(step, most) {
    const first = Math.max(0, -Math.floor(Math.log10(step || 1) + 1e-9));
    const left = step * 10 ** first;
    return Math.min(most, Math.abs(left - Math.round(left)) > 1e-6 ? first + 1 : first);
  }
  function show(value, format, step) {
    if (value === undefined) return "";
    if (format === "percent") return minus(number(step === undefined ? 1 : digits(step * 100, 3)).format(value * 100)) + "%";
    return minus(number(digits(step ?? 10 ** Math.floor(Math.log10(Math.abs(value) / 1e4 || 1)), 8)).format(value));
  }

  function ticks(low, high, count) {
    const raw = (high - low) / Math.max(count, 1);
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
    const values = [];
    for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step) values.push(Math.abs(v) < step / 1e6 ? 0 : v);
    return { values, step };
  }

  // round values at about equal ratios; evenly spaced ones where those would be fewer than three
  function logTicks(low, high, count) {
    const values = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      for (const m of high / low < 20 ? [1, 1.5, 2, 3, 5, 7] : [1, 2, 5]) if (m * 10 ** power >= low && m * 10 ** power <= high) values.push(m * 10 ** power);
    }
    return values.length < 3 ? ticks(low, high, count) : { values };
  }

  const DAY = 86400;
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  function timeTicks(from, to, count) {
    const span = to - from, result = [];
    const months = [1, 2, 3, 6, 12, 24, 60].find((m) => span / (m * 30.4 * DAY) <= count);
    if (span > 60 * DAY && months) {
      const date = new Date(from * 1000);
      let index = date.getUTCFullYear() * 12 + Math.ceil((date.getUTCMonth() + (date.getUTCDate() > 1 ? 1 : 0)) / months) * months;
      for (;; index += months) {
        const t = Date.UTC(Math.floor(index / 12), index % 12, 1) / 1000;
        if (t > to) break;
        result.push([t, index % 12 === 0 ? String(Math.floor(index / 12)) : MONTHS[index % 12]]);
      }
      return result;
    }
    const steps = [900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, DAY, 2 * DAY, 4 * DAY, 7 * DAY, 14 * DAY];
    const step = steps.find((s) => span / s <= count) ?? 28 * DAY;
    for (let t = Math.ceil(from / step) * step; t <= to; t += step) {
      const date = new Date(t * 1000);
      const day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
      result.push([t, t % DAY === 0 ? day : date.toISOString().slice(11, 16)]);
    }
    return result;
  }

  const GLYPHS = {
    long: "m-4.5 3.5 4.5-8 4.5 8z", short: "m-4.5-3.5 4.5 8 4.5-8z",
    exit: "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0", stop: "m-3.5-3.5 7 7m0-7-7 7",
  };
  const SMALL = { long: "m-3 2 3-5 3 5z", short: "m-3-2 3 5 3-5z", exit: "m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0", stop: "m-2-2 4 4m0-4-4 4" };
  const CROWD = 0.25; // marks a pixel of width above which they are drawn small

  function draw(figure) {
    const chart = charts[figure.dataset.chart];
    const box = figure.querySelector(".plot");
    const width = box.clientWidth, height = box.clientHeight;
    if (!chart || width < 60) return;
    const strips = chart.strips ?? [];
    const left = strips.length ? Math.min(130, width * 0.28) : Math.min(60, Math.max(46, width * 0.1));
    const [from, to] = view;
    const x = (t) => left + ((t - from) / (to - from)) * (width - left - RIGHT);
    box.replaceChildren();
    const svg = element("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "presentation" }, box);
    const clip = `clip-${figure.dataset.chart}`;
    element("rect", { x: left, y: 0, width: width - left - RIGHT, height }, element("clipPath", { id: clip }, svg));
    for (const [t, label] of timeTicks(from, to, (width - left) / 80)) {
      element("line", { class: "grid", x1: x(t), x2: x(t), y1: TOP, y2: height - BOTTOM }, svg);
      element("text", { class: "tick", x: x(t), y: height - 7, "text-anchor": "middle" }, svg).textContent = label;
    }
    const inside = element("g", { "clip-path": `url(#${clip})` }, svg);
    if (strips.length) drawStrips(svg, inside, strips, x, left, height);
    else drawLines(svg, inside, chart, x, left, width, height);
    figure.state = { x, left, width, height, svg, chart };
  }

  function drawStrips(svg, inside, strips, x, left, height) {
    const row = (height - TOP - BOTTOM) / strips.length;
    strips.forEach((strip, index) => {
      const y = TOP + index * row;
      element("text", { class: "tick row", x: left - 8, y: y + row / 2 + 4, "text-anchor": "end" }, svg).textContent = strip.name;
      const paths = new Map();
      strip.v.forEach((shade, i) => {
        const a = x(strip.t[i]), b = x(strip.t[i + 1] ?? full[1]);
        paths.set(shade, `${paths.get(shade) ?? ""}M${a.toFixed(1)} ${(y + 1).toFixed(1)}H${(b + 0.3).toFixed(1)}v${(row - 2).toFixed(1)}H${a.toFixed(1)}z`);
      });
      for (const [shade, d] of paths) {
        element("path", { d, class: shade < 0 ? "short" : "long", "fill-opacity": 0.06 + 0.235 * Math.abs(shade) }, inside);
      }
    });
  }

  function limits(chart) {
    if (chart.range) return chart.range;
    let low = chart.include ?? Infinity, high = chart.include ?? -Infinity;
    for (const { t, v } of chart.lines) {
      const last = Math.min(before(t, view[1]) + 1, v.length - 1);
      for (let i = Math.max(before(t, view[0]), 0); i <= last; i++) { low = Math.min(low, v[i]); high = Math.max(high, v[i]); }
    }
    if (!(high > low)) { const size = Math.abs(high) || 1; return [low - size * 0.01, high + size * 0.01]; }
    if (chart.log) { const room = (high / low) ** 0.05; return [low / room, high * room]; }
    const room = (high - low) * 0.05;
    return [low === chart.include && low === 0 ? 0 : low - room, high === chart.include && high === 0 ? 0 : high + room];
  }

  function drawLines(svg, inside, chart, x, left, width, height) {
    const [low, high] = limits(chart);
    const of = chart.log ? Math.log : (v) => v;
    const y = (v) => TOP + (1 - (of(v) - of(low)) / (of(high) - of(low))) * (height - TOP - BOTTOM);
    const { values, step } = (chart.log ? logTicks : ticks)(low, high, (height - TOP - BOTTOM) / (height < 200 ? 28 : 45));
    for (const v of values) {
      const base = v === chart.include ? " base" : "";
      svg.insertBefore(element("line", { class: `grid${base}`, x1: left, x2: width - RIGHT, y1: y(v), y2: y(v) }), inside);
      element("text", { class: "tick", x: left - 8, y: y(v) + 4, "text-anchor": "end" }, svg).textContent = show(v, chart.format, step ?? v);
    }
    for (const { t, name } of chart.borders ?? []) {
      if (t < view[0] || t > view[1]) continue;
      element("line", { class: "border", x1: x(t), x2: x(t), y1: TOP, y2: height - BOTTOM }, inside);
      element("text", { class: "tick", x: x(t) + 4, y: TOP + 10 }, inside).textContent = name;
    }
    if (chart.include !== undefined && chart.include !== 0) {
      element("line", { class: "grid base", x1: left, x2: width - RIGHT, y1: y(chart.include), y2: y(chart.include) }, inside);
    }
    for (const { t, v, style } of chart.lines) {
      const first = Math.max(before(t, view[0]), 0), last = Math.min(before(t, view[1]) + 1, v.length - 1);
      let d = "";
      for (let i = first; i <= last; i++) {
        const px = x(t[i]).toFixed(1), py = y(v[i]).toFixed(1);
        d += i === first ? `M${px} ${py}` : style.includes("step") ? `H${px}V${py}` : `L${px} ${py}`;
      }
      if (!d) continue;
      if (style.includes("area")) {
        const zero = y(Math.min(Math.max(0, low), high)).toFixed(1);
        element("path", { d: `${d}V${zero}H${x(t[first]).toFixed(1)}z`, class: `fill ${style}` }, inside);
      }
      element("path", { d, class: `line ${style}` }, inside);
    }
    const visible = (chart.marks ?? []).reduce((sum, { t }) => sum + before(t, view[1]) - before(t, view[0]), 0);
    const glyphs = visible > CROWD * (width - left) ? SMALL : GLYPHS;
    for (const { t, v, style } of chart.marks ?? []) {
      let d = "";
      for (let i = Math.max(before(t, view[0]), 0); i < t.length && t[i] <= view[1]; i++) {
        d += `M${x(t[i]).toFixed(1)} ${y(v[i]).toFixed(1)}${glyphs[style]}`;
      }
      element("path", { d, class: `mark ${style}` }, inside);
    }
  }

  function point(t) {
    for (const figure of figures) {
      const { state } = figure;
      if (!state) continue;
      state.cursor?.remove();
      state.cursor = null;
      if (t !== null) {
        const at = state.x(t);
        state.cursor = element("line", { class: "cursor", x1: at, x2: at, y1: TOP, y2: state.height - BOTTOM }, state.svg);
      }
      state.chart.lines.forEach((line, i) => {
        const label = figure.querySelector(`[data-line="${i}"]`);
        if (label) label.textContent = t === null ? "" : show(line.v[before(line.t, t)], state.chart.format);
      });
      const clock = figure.querySelector("time");
      if (clock) clock.textContent = t === null ? "" : new Date(t * 1000).toISOString().slice(0, 16).replace("T", " ");
    }
  }

  function zoom(from, to) {
    view = to - from < 1800 ? view : [Math.max(from, full[0]), Math.min(to, full[1])];
    document.body.classList.toggle("zoomed", view[0] > full[0] || view[1] < full[1]);
    figures.forEach(draw);
  }

  for (const figure of figures) {
    const box = figure.querySelector(".plot");
    let start = null, band = null;
    const time = (event) => {
      const { left, width } = figure.state;
      const share = (event.clientX - box.getBoundingClientRect().left - left) / (width - left - RIGHT);
      return view[0] + Math.min(Math.max(share, 0), 1) * (view[1] - view[0]);
    };
    box.addEventListener("pointermove", (event) => {
      if (!figure.state) return;
      const t = time(event);
      point(t);
      if (start === null) return;
      const { x, svg, height } = figure.state;
      band ??= element("rect", { class: "band", y: TOP, height: height - TOP - BOTTOM }, svg);
      band.setAttribute("x", x(Math.min(start, t)));
      band.setAttribute("width", Math.abs(x(t) - x(start)));
    });
    box.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse" || event.button !== 0 || !figure.state) return;
      start = time(event);
      box.setPointerCapture(event.pointerId);
    });
    box.addEventListener("pointerup", (event) => {
      if (start === null) return;
      const end = time(event), begin = start;
      start = band = null;
      if (Math.abs(end - begin) > (view[1] - view[0]) / 100) zoom(Math.min(begin, end), Math.max(begin, end));
      else figures.forEach(draw);
    });
    box.addEventListener("pointerleave", () => point(null));
    box.addEventListener("dblclick", () => zoom(...full));
  }
  for (const button of document.querySelectorAll("button[data-from]")) {
    button.addEventListener("click", () => {
      zoom(Number(button.dataset.from), Number(button.dataset.to));
      document.getElementById("equity").scrollIntoView({ behavior: "smooth" });
    });
  }
  document.getElementById("reset").addEventListener("click", () => zoom(...full));
  new ResizeObserver(() => figures.forEach(draw)).observe(document.querySelector("main"));
  zoom(...full);
})();
