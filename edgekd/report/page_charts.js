"use strict";
// The charts: one function each, (width) → svg. Shared functions are in page.js.

// Horizontal bars of one figure, with the whiskers of its interval.
function bars(width, label, key, interval) {
  const row = 42, left = nameWidth(width), right = width - 84;
  const top = Math.max(...figures.map((f) => Math.max(f[key], f[interval][1])));
  const x = (v) => left + (v / top) * (right - left);
  const picture = svg(width, row * figures.length, label);
  figures.forEach((f, i) => {
    const y = i * row + row / 2, [low, high] = f[interval], end = Math.max(x(f[key]), left + 4);
    const paths = [`figures.${i}.${key}`, `figures.${i}.${interval}.0`, `figures.${i}.${interval}.1`];
    const whisker = { d: `M${x(low)} ${y}H${x(high)}M${x(low)} ${y - 5}v10M${x(high)} ${y - 5}v10`, fill: "none" };
    picture.append(
      nameText(f, 0, y + 4, left - 8),
      make("path", { d: `M${left} ${y - 9}H${end - 3}q3 0 3 3v12q0 3 -3 3H${left}z`, fill: colour(f.role) }, traced("title", {}, `${f.name}: {} ({}–{})`, paths)),
      make("path", { ...whisker, stroke: "var(--card)", "stroke-width": 4, opacity: 0.75 }),
      make("path", { ...whisker, stroke: "var(--ink)", "stroke-width": 1.6 }),
      traced("text", { class: "value", x: right + 10, y: y - 2 }, "{}", [paths[0]]),
      traced("text", { class: "small", x: right + 10, y: y + 12 }, "{}–{}", paths.slice(1)),
    );
  });
  picture.append(make("line", { class: "axis", x1: left, x2: left, y1: 0, y2: row * figures.length }));
  return picture;
}

// The Pareto front: from the fastest (or smallest) on, each point that has a higher score than all before it.
function frontier(points) {
  let best = -Infinity;
  return [...points].sort((a, b) => a.x - b.x || b.score - a.score).filter((p) => p.score > best && ((best = p.score), true));
}

// A candidate's marker: its role's colour, its precision's shape.
function marker(c, x, y, size = 6) {
  const s = size, shapes = [
    `M${x - s} ${y}a${s} ${s} 0 1 0 ${2 * s} 0a${s} ${s} 0 1 0 ${-2 * s} 0z`,
    `M${x - s} ${y - s}h${2 * s}v${2 * s}h${-2 * s}z`,
    `M${x} ${y - s - 1}L${x + s + 1} ${y + s}H${x - s - 1}z`,
    `M${x} ${y - s - 2}L${x + s + 2} ${y}L${x} ${y + s + 2}L${x - s - 2} ${y}z`,
  ];
  const d = shapes[precisions.indexOf(c.precision) % shapes.length];
  return make("path", { d, fill: colour(c.role), "fill-opacity": 0.55, stroke: colour(c.role), "stroke-width": 1.8 });
}

// Places each label at the nearest free place beside its point: sets labels' lx, ly (left, baseline).
function placeLabels(labels, left, right, top, bottom) {
  const taken = labels.map(({ x, y }) => [x - 8, y - 8, x + 8, y + 8]);
  const free = (box) => taken.every(([l, t, r, b]) => box[2] <= l || box[0] >= r || box[3] <= t || box[1] >= b);
  for (const label of [...labels].sort((a, b) => a.y - b.y)) {
    const places = [];
    for (let ring = 0; ring < 9; ring++)
      for (const side of [-1, 1]) {
        const dy = side * ring * 15;
        places.push([label.x + 12 + ring * 2, label.y + dy + 4], [label.x - 12 - ring * 2 - label.width, label.y + dy + 4]);
        if (ring) places.push([label.x - label.width / 2, label.y + dy + 4 + side * 4]);
      }
    const box = ([x, y]) => [x - 2, y - 11, x + label.width + 2, y + 4];
    const inside = (b) => b[0] >= left && b[2] <= right && b[1] >= top && b[3] <= bottom;
    const chosen = places.find((place) => inside(box(place)) && free(box(place))) || [Math.min(label.x + 12, right - label.width), label.y + 4];
    [label.lx, label.ly] = chosen;
    taken.push(box(chosen));
  }
}

function scoreAxis(picture, y, left, right) {
  axes.score.ticks.forEach((v, i) =>
    picture.append(
      make("line", { class: "axis", x1: left, x2: right, y1: y(v), y2: y(v) }),
      traced("text", { x: left - 8, y: y(v) + 4, "text-anchor": "end" }, "{}", [`axes.score.ticks.${i}`]),
    ),
  );
  picture.append(make("text", { class: "name", x: 0, y: 12 }, metric.head));
  if (metric.baseline === null) return;
  const inside = metric.baseline >= axes.score.low && metric.baseline <= axes.score.high;
  const place = { x: left + 6, y: (inside ? y(metric.baseline) : y(axes.score.low)) - 6 };
  if (inside) picture.append(make("line", { x1: left, x2: right, y1: place.y + 6, y2: place.y + 6, stroke: "var(--soft)", "stroke-dasharray": "2 4" }));
  picture.append(traced("text", place, inside ? "no-network baseline: {}" : "↓ no-network baseline: {}", ["metric.baseline"]));
}

// Score against latency or size, with the Pareto front.
function pareto(width, axis, key, words) {
  const points = figures.map((f, i) => ({ ...f, i, x: f[key], score: f.score_shown })).filter((p) => p.score !== null && p.x !== null);
  const height = 320, left = 10 + Math.max(...axes.score.ticks.map((t) => textWidth(t.toFixed(axes.score.digits)))), right = width - 6, top = 24, bottom = height - 44;
  const x = logScale(axes[axis], left, right), y = linearScale(axes.score, bottom, top);
  const picture = svg(width, height, `${metric.words} against ${axis}`);
  scoreAxis(picture, y, left, right);
  bottomAxis(picture, axis, x, top, bottom);
  picture.append(make("text", { x: right, y: height - 6, "text-anchor": "end" }, words));
  const path = frontier(points).map((p, i) => (i ? `H${x(p.x)}V${y(p.score)}` : `M${x(p.x)} ${y(p.score)}`)).join("");
  picture.append(make("path", { d: path, fill: "none", stroke: "var(--soft)", "stroke-width": 1.4, "stroke-dasharray": "5 4" }));
  const labels = points.map((p) => ({ p, x: x(p.x), y: y(p.score), width: Math.min(textWidth(p.name), width * 0.45) }));
  placeLabels(labels, left, right, top - 12, bottom - (metric.baseline === null ? 2 : 20));
  for (const { p, x: px, y: py, lx, ly, width: room } of labels) {
    const near = Math.min(Math.max(px, lx), lx + room), far = Math.hypot(near - px, ly - 4 - py) > 16;
    if (far) picture.append(make("path", { d: `M${px} ${py}L${near} ${ly > py ? ly - 11 : ly + 3}`, stroke: "var(--soft)", "stroke-width": 0.8, fill: "none" }));
    const mark = marker(p, px, py);
    mark.append(traced("title", {}, `${p.name}: {} ${axis === "size" ? "MiB" : "ms"}, {} ${metric.words}`, [`figures.${p.i}.${key}`, `figures.${p.i}.score_shown`]));
    picture.append(mark, nameText(p, lx, ly, room + 1));
  }
  return picture;
}

function shapeLegend() {
  const shown = (c, words) => make("span", {}, make("svg", { viewBox: "0 0 20 20", class: "mark" }, marker(c, 10, 10)), words);
  const ofRole = roles.map((role) => shown(candidates.find((c) => c.role === role), role));
  const ofPrecision = precisions.map((p) => {
    const item = shown(candidates.find((c) => c.precision === p), p);
    item.querySelector("path").setAttribute("style", "fill: none; stroke: var(--ink)");
    return item;
  });
  $("shapes").append(...(roles.length > 1 ? ofRole : []), ...(precisions.length > 1 ? ofPrecision : []));
}

const median = (sorted) => (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
const ascending = (values) => [...values].sort((a, b) => a - b);
const msOf = (block) => block.map((ns) => ns / 1e6);

// About 4000 dots can be distinguished; samples outside the fences are always drawn.
function stripPaths(c, f, x0, band, y) {
  const r = f.spread.outside > 60 ? 2 : 3.2, tip = r + 1;
  const stride = Math.max(1, Math.ceil(f.spread.count / 4000));
  const paths = { dots: "", outside: "", beyond: "", medians: "" };
  let b = 0;
  for (const run of c.runs) {
    for (const ns of run.blocks_ns) {
      const block = msOf(ns), from = x0 + b++ * band;
      block.forEach((v, k) => {
        const px = (from + ((k + 0.5) / block.length) * band).toFixed(1);
        if (v > f.strip_ms[1]) paths.beyond += `M${px} ${(y(v) - tip).toFixed(1)}l${tip} ${1.7 * tip}h${-2 * tip}z`;
        else if (v < f.spread.low_fence || v > f.spread.high_fence) paths.outside += `M${(px - r).toFixed(1)} ${y(v).toFixed(1)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
        else if (k % stride === 0) paths.dots += `M${px} ${y(v).toFixed(1)}h0`;
      });
      const middle = y(median(ascending(block))).toFixed(1), inset = Math.min(1, band / 8);
      paths.medians += `M${(from + inset).toFixed(1)} ${middle}h${(band - 2 * inset).toFixed(1)}`;
    }
  }
  return paths;
}

// A band for each process, labelled, with hair lines between its blocks.
function processBands(picture, c, left, band, y0, y1) {
  let from = left;
  const shortest = Math.min(...c.runs.map((run) => run.blocks_ns.length)) * band;
  const room = (words) => textWidth(words, 11) + 6 <= shortest;
  c.runs.forEach((run, i) => {
    const width = run.blocks_ns.length * band, whole = data.processes[i];
    if (i % 2 === 0) picture.append(make("rect", { x: from, y: y0, width, height: y1 - y0, fill: "var(--band)" }));
    if (band > 6)
      for (let b = 1; b < run.blocks_ns.length; b++)
        picture.append(make("line", { class: "hair", x1: from + b * band, x2: from + b * band, y1: y0, y2: y1 }));
    if (i) picture.append(make("line", { class: "border", x1: from, x2: from, y1: y0 - 14, y2: y1 }));
    const words = room(data.processes.at(-1)) ? whole : whole.split(" ")[1];
    if (c.runs.length > 1) picture.append(make("text", { class: "small", x: from + width / 2, y: y0 - 4, "text-anchor": "middle", "data-figure": `processes.${i}` }, words, make("title", {}, whole)));
    from += width;
  });
}

function stripLabels(f, i, y, right, low, high) {
  const labels = [{ v: high, path: `figures.${i}.strip_ms.1` }, { v: f.spread.median, path: `figures.${i}.spread.median` }, { v: low, path: `figures.${i}.strip_ms.0` }];
  const kept = labels.filter((l, k) => k === 1 || Math.abs(y(l.v) - y(f.spread.median)) > 13);
  return kept.map((l) => traced("text", { class: "small", x: right + 6, y: y(l.v) + 4 }, "{}", [l.path]));
}

function strip(c, i, width, y0, y1) {
  const f = figures[i], right = width - 44, [low, high] = f.strip_ms, group = make("g");
  const y = (v) => (high > low ? y1 - 5 - ((Math.min(v, high) - low) / (high - low)) * (y1 - y0 - 10) : (y0 + y1) / 2);
  const blocks = c.runs.reduce((sum, run) => sum + run.blocks_ns.length, 0), band = right / blocks;
  processBands(group, c, 0, band, y0, y1);
  const paths = stripPaths(c, f, 0, band, y), ink = { fill: "none", stroke: "var(--ink)" };
  const fence = (v) => (v > low && v < high ? `M0 ${y(v)}H${right}` : "");
  const count = traced("text", { class: "small", x: width, y: y0 - 22, "text-anchor": "end" }, "{} of {} outside the fences", [`figures.${i}.spread.outside`, `figures.${i}.spread.count`]);
  group.append(
    make("path", { d: fence(f.spread.low_fence) + fence(f.spread.high_fence), fill: "none", stroke: "var(--soft)", "stroke-width": 1, "stroke-dasharray": "3 3" }),
    make("path", { d: paths.dots, stroke: colour(c.role), "stroke-width": f.spread.count > 1000 ? 3 : 5, "stroke-linecap": "round", opacity: 0.75, fill: "none" }),
    make("path", { d: paths.medians, ...ink, "stroke-width": 1.6 }),
    make("path", { d: paths.outside, class: "outside" }),
    make("path", { d: paths.beyond, class: "outside beyond" }),
    make("text", { class: "name", x: 0, y: y0 - 22 }, shortName(c.name, width - textWidth(count.textContent, 11) - 12), make("title", {}, c.name)),
    count,
    ...stripLabels(f, i, y, right, low, high),
  );
  return group;
}

// Latency over time, one strip for each candidate.
function strips(width) {
  const row = 138, picture = svg(width, row * candidates.length, "Latency of every inference in order");
  candidates.forEach((c, i) => picture.append(strip(c, i, width, i * row + 44, (i + 1) * row - 8)));
  return picture;
}

function markLegend() {
  const item = (path, words) => make("span", {}, make("svg", { viewBox: "0 0 26 12" }, path), words);
  const ring = "a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0 -6.4 0";
  $("marks").append(
    item(make("path", { d: "M13 6h0", stroke: colour(roles[0]), "stroke-width": 6, "stroke-linecap": "round" }), "one inference"),
    item(make("path", { d: "M3 6H23", stroke: "var(--ink)", "stroke-width": 1.6 }), "median of one round"),
    item(make("path", { d: `M9.8 6${ring}`, class: "outside" }), "outside the fences"),
    item(make("path", { d: "M13 1l5 9h-10z", class: "outside beyond" }), "outside the scale, drawn at its edge"),
    item(make("path", { d: "M0 6H26", stroke: "var(--soft)", "stroke-dasharray": "3 3" }), "Tukey fence"),
  );
  if (candidates[0].runs.length > 1) $("marks").append(item(make("path", { d: "M13 0V12", class: "border" }), "start of a process, numbered in run order"));
}

function ecdfCurve(sorted, x, y) {
  const count = Math.min(sorted.length, 300);
  let path = `M${x(sorted[0])} ${y(0)}`;
  for (let k = 1; k <= count; k++) path += `H${x(sorted[Math.ceil((k / count) * sorted.length) - 1]).toFixed(1)}V${y((100 * k) / count).toFixed(1)}`;
  return path;
}

// Cumulative distribution of latency; the legend shows the chosen percentile. pick(i) chooses another.
function ecdf(width, chosen, pick) {
  const height = 320, left = 44, right = width - 8, top = 12, bottom = height - 30;
  const x = logScale(axes.ecdf, left, right), y = (share) => bottom - (share / 100) * (bottom - top);
  const picture = svg(width, height, "Cumulative distribution of latency");
  bottomAxis(picture, "ecdf", x, top, bottom);
  data.shares.forEach((share, i) => {
    const line = i === chosen ? { class: "border" } : { class: "axis" };
    picture.append(
      make("line", { ...line, x1: left, x2: right, y1: y(share), y2: y(share) }),
      traced("text", { class: i === chosen ? "value" : "", x: left - 8, y: y(share) + 4, "text-anchor": "end" }, "{} %", [`shares.${i}`]),
    );
  });
  candidates.forEach((c, i) => {
    const sorted = ascending(c.runs.flatMap((run) => run.blocks_ns.flatMap(msOf)));
    picture.append(make("path", { d: ecdfCurve(sorted, x, y), fill: "none", stroke: colour(c.role), "stroke-width": 2, "stroke-dasharray": dash(c) }));
  });
  candidates.forEach((c, i) => {
    const key = `p${data.shares[chosen]}_ms`, spot = marker(c, x(figures[i][key]), y(data.shares[chosen]), 4.5);
    spot.append(traced("title", {}, `${c.name}: {} % within {} ms`, [`shares.${chosen}`, `figures.${i}.${key}`]));
    picture.append(spot);
  });
  picture.addEventListener("pointermove", (event) => pick(nearestShare(event, picture, y)));
  picture.addEventListener("pointerdown", (event) => pick(nearestShare(event, picture, y)));
  return picture;
}

function nearestShare(event, picture, y) {
  const box = picture.getBoundingClientRect(), at = ((event.clientY - box.top) / box.height) * picture.viewBox.baseVal.height;
  const away = data.shares.map((share) => Math.abs(y(share) - at));
  return away.indexOf(Math.min(...away));
}

function shareLegend(chosen) {
  const legend = make("div", { class: "legend figures", "aria-live": "polite" });
  candidates.forEach((c, i) => {
    const line = make("svg", { viewBox: "0 0 26 10" }, make("path", { d: "M0 5H26", stroke: colour(c.role), "stroke-width": 2, "stroke-dasharray": dash(c) }));
    legend.append(make("span", {}, line, make("span", { class: "label" }, c.name), traced("b", {}, "{} ms", [`figures.${i}.p${data.shares[chosen]}_ms`])));
  });
  return legend;
}

function shareChart() {
  let chosen = 0, redraw = () => {};
  const choose = toggles($("shares"), data.shares.map((share) => `p${share}`), (i) => {
    chosen = i;
    redraw();
  });
  choose(0);
  redraw = chart("ecdf", (width) => make("div", {}, ecdf(width, chosen, (i) => i !== chosen && choose(i)), shareLegend(chosen)));
}
