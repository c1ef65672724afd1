"use strict";
// Pictures: an overview with a frame on it, two versions under a slider, and all versions side by side.

// Two pictures in one place: the first is visible left of the divider, the second right of it.
function slider(box, place) {
  const names = samples[0].shots.map((shot) => shot.label);
  if (names.length < 2) return () => {};
  const hasTarget = names.length > 2 && !candidates.some((c) => c.name === names.at(-1));
  const chosen = [0, hasTarget ? names.length - 2 : names.length - 1];
  const images = [make("img", { draggable: "false" }), make("img", { draggable: "false" })];
  const stage = make("div", { class: "crop stage" }, images[1], make("div", { class: "half" }, images[0]), make("i", { class: "divider" }), make("span", { class: "tag left" }), make("span", { class: "tag right" }));
  const range = make("input", { type: "range", min: 0, max: 100, step: 1, value: 50 });
  const move = () => {
    stage.style.setProperty("--divider", `${range.value}%`);
    const [left, right] = chosen.map((i) => names[i]);
    range.setAttribute("aria-label", `Divider between ${left} (left) and ${right} (right)`);
    range.setAttribute("aria-valuetext", `${left} covers ${range.value} % of the picture`);
  };
  const follow = (event) => {
    const area = stage.getBoundingClientRect();
    range.value = Math.round(((event.clientX - area.left) / area.width) * 100);
    move();
  };
  let sample = samples[0];
  const show = () => {
    images.forEach((image, k) => {
      const shot = sample.shots[chosen[k]];
      image.src = shot.url;
      image.alt = `${sample.name}, ${shot.label}`;
      stage.querySelectorAll(".tag")[k].textContent = shot.label;
    });
    place();
    move();
  };
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    follow(event);
  });
  stage.addEventListener("pointermove", (event) => event.buttons && follow(event));
  range.addEventListener("input", move);
  const choices = ["Left", "Right"].map((side, k) => {
    const select = make("select", {}, ...names.map((name, i) => make("option", { value: i }, name)));
    select.value = String(chosen[k]);
    select.addEventListener("change", () => {
      chosen[k] = Number(select.value);
      show();
    });
    return make("label", {}, `${side} `, select);
  });
  box.append(stage, range, make("div", { class: "choices" }, ...choices));
  return (next) => {
    sample = next;
    show();
  };
}

function shotFigure(sample, shot) {
  const image = make("img", { src: shot.url, alt: `${sample.name}, ${shot.label}`, draggable: "false" });
  const caption = make("figcaption", {}, make("b", {}, shot.label), make("br"), shot.caption);
  return make("figure", {}, make("div", { class: "crop" }, image), caption);
}

function viewer() {
  const overview = $("overview"), crops = $("crops"), lens = make("i");
  // Restored images differ in detail, labels as a whole. A frame of 0 shows the whole picture.
  const frames = data.frames, detail = data.compares_images && Math.max(...samples.map((s) => s.height)) > frames[1];
  let sample = samples[0], side = 0, centre = [0.5, 0.5];
  function place() {
    const share = (size) => (side ? Math.min(1, side / size) : 1), [w, h] = [share(sample.width), share(sample.height)];
    document.querySelector("section .viewer").parentNode.style.setProperty("--shape", side ? "1" : `${sample.width} / ${sample.height}`);
    lens.hidden = !side;
    const inside = (at, size) => Math.min(Math.max(at, size / 2), 1 - size / 2);
    centre = [inside(centre[0], w), inside(centre[1], h)];
    const [x, y] = [centre[0] - w / 2, centre[1] - h / 2];
    Object.assign(lens.style, { left: `${x * 100}%`, top: `${y * 100}%`, width: `${w * 100}%`, height: `${h * 100}%` });
    for (const image of document.querySelectorAll(".crop img"))
      Object.assign(image.style, { width: `${100 / w}%`, height: `${100 / h}%`, left: `${(-x / w) * 100}%`, top: `${(-y / h) * 100}%` });
  }
  const slide = slider($("slider"), place);
  function show(i) {
    sample = samples[i];
    centre = [...sample.focus];
    const whole = sample.shots[sample.overview];
    overview.replaceChildren(make("img", { src: whole.url, alt: `${sample.name}, ${whole.label}`, draggable: "false" }), lens);
    const answers = sample.answers.flatMap(([label, text]) => [make("dt", {}, label), make("dd", {}, text)]);
    crops.replaceChildren(...sample.shots.map((shot) => shotFigure(sample, shot)), ...(answers.length ? [make("dl", { class: "answers" }, ...answers)] : []));
    slide(sample);
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
    centre = [centre[0] + (move[0] * 8) / sample.width, centre[1] + (move[1] * 8) / sample.height];
    place();
  });
  for (const { name, colour } of data.legend) $("colours").append(make("span", {}, make("i", { style: { background: colour } }), name));
  toggles($("tabs"), samples.map((s) => s.name), show)(0);
  toggles($("zooms"), frames.map((w) => (w ? `${w} px` : "whole")), (i) => ((side = frames[i]), place()))(detail ? 1 : 0);
}
