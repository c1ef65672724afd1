// Shared by all charts; at the end, each chart is put in its place.
// Everything drawn here comes from the JSON in #result and #data. Text goes in through textContent only.
const data = { ...JSON.parse($("data").textContent), result: JSON.parse($("result").textContent) };
const { result, figures, metric, axes, samples } = data;
const candidates = result.candidates;
// Rejected blocks stay in the raw data, which the download contains, and enter no figure.
for (const run of candidates.flatMap((c) => c.runs)) run.blocks_ns = run.blocks_ns.filter((_, block) => !run.refused?.[block]);
const SVG = ["svg", "g", "path", "rect", "line", "circle", "text", "tspan", "title"];

function $(id) {
  return document.getElementById(id);
}

function make(tag, attributes = {}, ...children) {
  const node = SVG.includes(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") Object.assign(node.style, value);
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

// Three significant digits, as edgekd/core/units.py formats them.
function significant(value) {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

const at = (path) => path.split(".").reduce((value, key) => value[key], data);

// The figure at a path of the JSON, formatted.
function formatted(path) {
  if (/\.(score_shown|baseline)$/.test(path)) return at(path).toFixed(metric.decimals);
  if (path.startsWith("axes.score")) return at(path).toFixed(axes.score.digits);
  return /^(axes|shares)\.|\.(outside|count)$/.test(path) ? String(at(path)) : significant(at(path));
}

// Every figure in a chart is written here, traced to its path in the JSON: "{}" is the next of `paths`.
// data-figure holds the paths, so that a test can compare the page with its JSON.
function traced(tag, attributes, pattern, paths) {
  let next = 0;
  const text = pattern.replaceAll("{}", () => formatted(paths[next++]));
  return make(tag, { ...attributes, "data-figure": paths.join(" ") }, text);
}

const roles = [...new Set(candidates.map((c) => c.role))];
const colour = (role) => `var(--role${roles.indexOf(role) % 3})`;
// Precisions differ by dash and shape, so that nothing depends on colour alone.
const precisions = [...new Set(candidates.map((c) => c.precision))];
const dashes = ["none", "7 4", "2 3", "9 3 2 3"];
const dash = (c) => dashes[precisions.indexOf(c.precision) % dashes.length];
const textWidth = (() => {
  const context = document.createElement("canvas").getContext("2d");
  return (text, size = 12) => {
    context.font = `500 ${size}px system-ui, sans-serif`;
    return context.measureText(text).width;
  };
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

// Calls draw(width) → svg now, and again whenever the width changes.
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
  return () => {
    last = 0;
    redraw();
  };
}

function svg(width, height, label) {
  return make("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
}

const logScale = (axis, from, to) => (v) => from + (Math.log(v / axis.low) / Math.log(axis.high / axis.low)) * (to - from);
const linearScale = (axis, from, to) => (v) => from + ((v - axis.low) / (axis.high - axis.low)) * (to - from);

// Ticks along the bottom, as many as fit; powers of ten where not all do.
function bottomAxis(picture, name, x, top, bottom) {
  const ticks = axes[name].ticks.map((value, i) => ({ value, path: `axes.${name}.ticks.${i}` }));
  const fit = (some) => some.every((t, i) => !i || x(t.value) - x(some[i - 1].value) > textWidth(`${some[i - 1].value}${t.value}`) / 2 + 8);
  const tens = ticks.filter((t) => Number.isInteger(Math.log10(t.value)));
  let kept = fit(ticks) || tens.length < 2 ? ticks : tens;
  while (!fit(kept)) kept = kept.filter((_, i) => i % 2 === 0);
  for (const { value, path } of kept)
    picture.append(
      make("line", { class: "axis", x1: x(value), x2: x(value), y1: top, y2: bottom }),
      traced("text", { x: x(value), y: bottom + 17, "text-anchor": "middle" }, "{}", [path]),
    );
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

// The bytes of result.json: undoes the escapes of page_data.escaped, and keeps every other backslash.
function resultText() {
  const plain = { "\\u003c": "<", "\\u003e": ">", "\\u0026": "&" };
  return $("result").textContent.replace(/\\(?:\\|u003c|u003e|u0026)/g, (found) => plain[found] ?? found);
}

function download() {
  const url = URL.createObjectURL(new Blob([resultText()], { type: "application/json" }));
  make("a", { href: url, download: "result.json" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

document.documentElement.classList.add("draws");
$("download").addEventListener("click", download);
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((box) => (box.open = true)));
chart("latency", (width) => bars(width, "Latency, p50, ms", "p50_ms", "median_ms"));
chart("throughput", (width) => bars(width, "Samples per second", "throughput_per_s", "throughput_interval_per_s"));
if (axes.score) {
  chart("by_latency", (width) => pareto(width, "latency", "p50_ms", "p50 latency, ms (logarithmic)"));
  if (axes.size) chart("by_size", (width) => pareto(width, "size", "onnx_mib", "ONNX file, MiB (logarithmic)"));
  shapeLegend();
}
chart("strips", strips);
markLegend();
shareChart();
if (samples.length) viewer();
