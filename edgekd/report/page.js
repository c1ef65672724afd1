"use strict";
// Everything drawn here comes from the JSON in #data. Text goes in through textContent only.
const data = JSON.parse(document.getElementById("data").textContent);
const { result, figures, metric, samples } = data;
const candidates = result.candidates;
const $ = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const isSvg = ["svg", "g", "path", "rect", "line", "circle", "text", "title"].includes(tag);
  const node = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") Object.assign(node.style, value);
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

const roles = [...new Set(candidates.map((c) => c.role))];
const colour = (role) => `var(--role${roles.indexOf(role) % 3})`;
// Within a role, precisions differ by dash, so that nothing hangs on colour alone.
const dashes = ["none", "7 4", "2 3", "9 3 2 3"];
const dash = (c) => dashes[candidates.filter((o) => o.role === c.role).findIndex((o) => o.name === c.name) % dashes.length];
function figure(value) {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}
const textWidth = (() => {
  const context = document.createElement("canvas").getContext("2d");
  context.font = "500 12px system-ui, sans-serif";
  return (text) => context.measureText(text).width;
})();
const nameWidth = (width) => Math.min(Math.max(...candidates.map((c) => textWidth(c.name))) + 12, width * 0.4);

function shortName(name, room) {
  if (textWidth(name) <= room) return name;
  let kept = name;
  while (kept.length > 1 && textWidth(kept + "…") > room) kept = kept.slice(0, -1);
  return kept + "…";
}

function nameText(c, x, y, room) {
  return make("text", { class: "name", x, y }, shortName(c.name, room), make("title", {}, c.name));
}

// Calls draw(width) → svg now, and again whenever the room changes.
function chart(id, draw) {
  const box = $(id);
  let last = 0;
  const redraw = () => {
    const width = Math.floor(box.clientWidth);
    if (width < 40 || width === last) return;
    last = width;
    box.replaceChildren(draw(width));
  };
  new ResizeObserver(redraw).observe(box);
  redraw();
}

function svg(width, height, label) {
  return make("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
}

function bars(width, label, value, interval) {
  const row = 34, left = nameWidth(width), room = Math.max(...figures.map((f) => textWidth(figure(value(f))))) + 12;
  const top = Math.max(...figures.map((f) => Math.max(value(f), interval(f)[1])));
  const x = (v) => left + (v / top) * (width - left - room);
  const picture = svg(width, row * figures.length, label);
  figures.forEach((f, i) => {
    const y = i * row + row / 2, [low, high] = interval(f), end = x(value(f));
    const words = `${f.name}: ${figure(value(f))} (${figure(low)}–${figure(high)})`;
    picture.append(
      nameText(f, 0, y + 4, left - 8),
      make("path", { d: `M${left} ${y - 8}H${end - 3}q3 0 3 3v10q0 3 -3 3H${left}z`, fill: colour(f.role) }, make("title", {}, words)),
      make("path", { d: `M${x(low)} ${y}H${x(high)}M${x(low)} ${y - 4}v8M${x(high)} ${y - 4}v8`, stroke: "var(--ink)", "stroke-width": 1.5, fill: "none" }),
      make("text", { class: "value", x: Math.max(end, x(high)) + 7, y: y + 4 }, figure(value(f))),
    );
  });
  picture.append(make("line", { class: "axis", x1: left, x2: left, y1: 0, y2: row * figures.length }));
  return picture;
}

function logTicks(low, high, most) {
  const all = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const step of [1, 2, 5]) all.push(Number((step * 10 ** power).toPrecision(1)));
  const ticks = all.filter((t) => t >= low && t <= high);
  if (ticks.length < 3) {
    const step = niceStep(high - low, Math.min(most, 5)), first = Math.ceil(low / step);
    return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(4)));
  }
  const tens = ticks.filter((t) => Number.isInteger(Math.round(Math.log10(t) * 1e6) / 1e6));
  return ticks.length > most && tens.length > 1 ? tens : ticks;
}

function niceStep(span, count) {
  const raw = span / count, power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((s) => s * power).find((s) => s >= raw);
}

function latencyAxis(picture, low, high, x, y0, y1) {
  for (const tick of logTicks(low, high, (x(high) - x(low)) / 44)) {
    picture.append(
      make("line", { class: "axis", x1: x(tick), x2: x(tick), y1: y0, y2: y1 }),
      make("text", { x: x(tick), y: y1 + 16, "text-anchor": "middle" }, String(tick)),
    );
  }
}

function frontier(points) {
  let best = -Infinity;
  return [...points].sort((a, b) => a.p50_ms - b.p50_ms || b.score - a.score).filter((p) => p.score > best && ((best = p.score), true));
}

// Pushes labels apart, top to bottom, and back up from the lower edge.
function spread(labels, gap, bottom) {
  labels.sort((a, b) => a.y - b.y || b.x - a.x);
  for (let i = 1; i < labels.length; i++) labels[i].y = Math.max(labels[i].y, labels[i - 1].y + gap);
  for (let i = labels.length - 1, limit = bottom; i >= 0; i--, limit = labels[i + 1].y - gap) labels[i].y = Math.min(labels[i].y, limit);
}

function pareto(width) {
  const points = figures
    .map((f, i) => ({ ...f, score: f.score === null ? null : f.score * metric.scale, bytes: candidates[i].onnx_bytes }))
    .filter((p) => p.score !== null);
  const floor = result.baseline_accuracy[metric.key], without = floor === undefined ? undefined : floor * metric.scale;
  const height = 330, left = 52, bottom = height - 42, top = 14;
  const room = Math.max(...points.map((p) => textWidth(p.name))) + 22, right = width - Math.min(room, width * 0.34);
  const scores = points.map((p) => p.score).concat(without === undefined ? [] : [without]);
  const pad = (Math.max(...scores) - Math.min(...scores)) * 0.12 || Math.abs(scores[0]) * 0.01 || 1;
  const [minScore, maxScore] = [Math.min(...scores) - pad, Math.max(...scores) + pad];
  const low = Math.min(...points.map((p) => p.p50_ms)) / 1.35, high = Math.max(...points.map((p) => p.p50_ms)) * 1.35;
  const x = (v) => left + (Math.log(v / low) / Math.log(high / low)) * (right - left);
  const y = (v) => bottom - ((v - minScore) / (maxScore - minScore)) * (bottom - top);
  const picture = svg(width, height, `${metric.words} against latency`);
  const step = niceStep(maxScore - minScore, 5), digits = Math.max(0, -Math.floor(Math.log10(step)));
  for (let v = Math.ceil(minScore / step) * step; v <= maxScore; v += step) {
    picture.append(
      make("line", { class: "axis", x1: left, x2: right, y1: y(v), y2: y(v) }),
      make("text", { x: left - 8, y: y(v) + 4, "text-anchor": "end" }, v.toFixed(digits)),
    );
  }
  latencyAxis(picture, low, high, x, top, bottom);
  picture.append(
    make("text", { x: right, y: height - 6, "text-anchor": "end" }, "p50 latency, ms (logarithmic)"),
    make("text", { x: 0, y: 4 }, metric.head),
  );
  if (without !== undefined) {
    picture.append(
      make("line", { x1: left, x2: right, y1: y(without), y2: y(without), stroke: "var(--soft)", "stroke-dasharray": "4 4" }),
      make("text", { x: right - 4, y: y(without) - 6, "text-anchor": "end" }, "without a network"),
    );
  }
  const path = frontier(points).map((p, i) => `${i ? "L" : "M"}${x(p.p50_ms)} ${y(p.score)}`).join("");
  picture.append(make("path", { d: path, fill: "none", stroke: "var(--soft)", "stroke-width": 1.2, opacity: 0.7 }));
  const largest = Math.max(...points.map((p) => p.bytes), 1);
  const radius = (p) => 4 + 14 * Math.sqrt(p.bytes / largest);
  const labels = points.map((p) => ({ p, x: x(p.p50_ms), y: y(p.score) }));
  for (const p of [...points].sort((a, b) => b.bytes - a.bytes)) {
    const words = `${p.name}: ${figure(p.p50_ms)} ms, ${p.score.toFixed(3)} ${metric.words}, ${figure(p.bytes / 1048576)} MiB`;
    picture.append(make("circle", { cx: x(p.p50_ms), cy: y(p.score), r: radius(p), fill: colour(p.role), "fill-opacity": 0.28, stroke: colour(p.role), "stroke-width": 1.6 }, make("title", {}, words)));
  }
  spread(labels, 15, bottom - 2);
  for (const { p, y: at } of labels) {
    const from = x(p.p50_ms) + radius(p);
    picture.append(
      make("path", { d: `M${from} ${y(p.score)}L${right + 4} ${at}`, stroke: "var(--soft)", "stroke-width": 0.7, opacity: 0.6, fill: "none" }),
      nameText(p, right + 8, at + 4, width - right - 8),
    );
  }
  return picture;
}

// Refused blocks are in the raw data and in no figure.
const keptOf = (run) => run.blocks_ns.filter((_, block) => !run.refused?.[block]);
const blocksOf = (c) => c.runs.flatMap((run) => keptOf(run).map((block) => block.map((ns) => ns / 1e6)));
const median = (sorted) => (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
const rank = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];

function strips(width) {
  const row = 74, left = nameWidth(width), right = width - 44;
  const picture = svg(width, row * candidates.length, "Latency of every inference in the order taken");
  candidates.forEach((c, i) => {
    const blocks = blocksOf(c), sorted = blocks.flat().sort((a, b) => a - b);
    const low = sorted[0], high = Math.max(rank(sorted, 0.99), low * 1.02), y0 = i * row + 8, y1 = (i + 1) * row - 8;
    const y = (v) => y1 - ((Math.min(v, high) - low) / (high - low)) * (y1 - y0);
    const band = (right - left) / blocks.length;
    // Some 4000 dots are all that can be told apart; every block keeps its slowest.
    const stride = Math.max(1, Math.ceil(sorted.length / 4000));
    let dots = "", medians = "";
    blocks.forEach((block, b) => {
      const at = left + b * band;
      if (b % 2 === 0) picture.append(make("rect", { x: at, y: y0 - 4, width: band, height: y1 - y0 + 8, fill: "var(--band)" }));
      const slowest = block.indexOf(Math.max(...block));
      block.forEach((v, k) => {
        if (k % stride === 0 || k === slowest) dots += `M${(at + ((k + 0.5) / block.length) * band).toFixed(1)} ${y(v).toFixed(1)}h0`;
      });
      medians += `M${(at + 1).toFixed(1)} ${y(median([...block].sort((p, q) => p - q))).toFixed(1)}h${Math.max(band - 2, 1).toFixed(1)}`;
    });
    picture.append(
      make("path", { d: dots, stroke: colour(c.role), "stroke-width": sorted.length > 1000 ? 3 : 4, "stroke-linecap": "round", opacity: 0.65, fill: "none" }),
      make("path", { d: medians, stroke: "var(--ink)", "stroke-width": 1.2, opacity: 0.8, fill: "none" }),
      nameText(c, 0, (y0 + y1) / 2 + 4, left - 8),
      make("text", { x: right + 6, y: y0 + 7 }, figure(high)),
      make("text", { x: right + 6, y: y1 + 2 }, figure(low)),
    );
  });
  return picture;
}

function ecdf(width) {
  const height = 300, left = 44, right = width - 8, top = 10, bottom = height - 28;
  const sorted = candidates.map((c) => blocksOf(c).flat().sort((a, b) => a - b));
  const low = Math.min(...sorted.map((s) => s[0])) / 1.1, high = Math.max(...sorted.map((s) => s[s.length - 1])) * 1.1;
  const x = (v) => left + (Math.log(v / low) / Math.log(high / low)) * (right - left);
  const y = (share) => bottom - share * (bottom - top);
  const picture = svg(width, height, "Share of inferences done within a latency");
  for (const share of [0, 0.25, 0.5, 0.75, 0.9, 1]) {
    picture.append(
      make("line", { class: "axis", x1: left, x2: right, y1: y(share), y2: y(share) }),
      make("text", { x: left - 8, y: y(share) + 4, "text-anchor": "end" }, `${share * 100} %`),
    );
  }
  latencyAxis(picture, low, high, x, top, bottom);
  sorted.forEach((s, i) => {
    const count = Math.min(s.length, 300);
    let path = `M${x(s[0])} ${y(0)}`;
    for (let k = 1; k <= count; k++) path += `H${x(s[Math.ceil((k / count) * s.length) - 1]).toFixed(1)}V${y(k / count).toFixed(1)}`;
    const words = `${candidates[i].name}: p50 ${figure(figures[i].p50_ms)} ms, p99 ${figure(figures[i].p99_ms)} ms`;
    picture.append(make("path", { d: path, fill: "none", stroke: colour(candidates[i].role), "stroke-width": 2, "stroke-dasharray": dash(candidates[i]) }, make("title", {}, words)));
  });
  const legend = make("div", { class: "legend" });
  for (const c of candidates) {
    const sample = make("svg", { viewBox: "0 0 26 10" }, make("path", { d: "M0 5H26", stroke: colour(c.role), "stroke-width": 2, "stroke-dasharray": dash(c) }));
    legend.append(make("span", {}, sample, c.name));
  }
  return make("div", {}, picture, legend);
}

function toggles(box, labels, pick) {
  const buttons = labels.map((label, i) => {
    const button = make("button", { type: "button" }, label);
    button.addEventListener("click", () => choose(i));
    return button;
  });
  const choose = (i) => {
    buttons.forEach((button, k) => button.setAttribute("aria-pressed", String(k === i)));
    pick(i);
  };
  box.append(...buttons);
  return choose;
}

function viewer() {
  const overview = $("overview"), crops = $("crops"), lens = make("i");
  // Restored pictures differ in detail, labels as a whole; 0 is all of the picture.
  const windows = [0, 128, 64, 32], detail = data.restores && Math.max(...samples.map((s) => s.high)) > 128;
  let sample = samples[0], side = 0, centre = [0.5, 0.5];
  function place() {
    const share = (size) => (side ? Math.min(1, side / size) : 1), [w, h] = [share(sample.wide), share(sample.high)];
    crops.style.setProperty("--shape", side ? "1" : `${sample.wide} / ${sample.high}`);
    lens.hidden = !side;
    const inside = (at, size) => Math.min(Math.max(at, size / 2), 1 - size / 2);
    centre = [inside(centre[0], w), inside(centre[1], h)];
    const [x, y] = [centre[0] - w / 2, centre[1] - h / 2];
    Object.assign(lens.style, { left: `${x * 100}%`, top: `${y * 100}%`, width: `${w * 100}%`, height: `${h * 100}%` });
    for (const image of crops.querySelectorAll("img"))
      Object.assign(image.style, { width: `${100 / w}%`, height: `${100 / h}%`, left: `${(-x / w) * 100}%`, top: `${(-y / h) * 100}%` });
  }
  function show(i) {
    sample = samples[i];
    centre = [...sample.look];
    const whole = sample.shots[sample.whole];
    overview.replaceChildren(make("img", { src: whole.url, alt: `${sample.name}, ${whole.label}`, draggable: "false" }), lens);
    crops.replaceChildren(
      ...sample.shots.map((shot) => {
        const image = make("img", { src: shot.url, alt: `${sample.name}, ${shot.label}`, draggable: "false" });
        const caption = make("figcaption", {}, make("b", {}, shot.label), make("br"), shot.caption);
        return make("figure", {}, make("div", { class: "crop" }, image), caption);
      }),
      ...(sample.answers.length ? [make("dl", { class: "answers" }, ...sample.answers.flatMap(([who, said]) => [make("dt", {}, who), make("dd", {}, said)]))] : []),
    );
    place();
  }
  const follow = (event) => {
    const box = overview.getBoundingClientRect();
    centre = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    place();
  };
  overview.addEventListener("pointerdown", (event) => {
    overview.setPointerCapture(event.pointerId);
    follow(event);
  });
  overview.addEventListener("pointermove", (event) => event.buttons && follow(event));
  overview.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!move) return;
    event.preventDefault();
    centre = [centre[0] + (move[0] * 8) / sample.wide, centre[1] + (move[1] * 8) / sample.high];
    place();
  });
  for (const { name, colour } of data.legend) $("colours").append(make("span", {}, make("i", { style: { background: colour } }), name));
  toggles($("tabs"), samples.map((s) => s.name), show)(0);
  toggles($("zooms"), windows.map((w) => (w ? `${w} px` : "whole")), (i) => ((side = windows[i]), place()))(detail ? 2 : 0);
}

$("download").addEventListener("click", () => {
  const url = URL.createObjectURL(new Blob([JSON.stringify(result, null, 1) + "\n"], { type: "application/json" }));
  make("a", { href: url, download: "result.json" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
});
chart("latency", (width) => bars(width, "Latency, p50, ms", (f) => f.p50_ms, (f) => f.median_ms));
chart("throughput", (width) => bars(width, "Inferences per second", (f) => f.throughput_per_s, (f) => f.throughput_interval_per_s));
if (figures.some((f) => f.score !== null)) chart("pareto", pareto);
chart("strips", strips);
chart("ecdf", ecdf);
if (samples.length) viewer();
