"use strict";

// ------------------------------------------------------------------------------------- counting
// Every number of the page comes from here. FORMULA is the Python code's own, from formula.js, which
// docs/stage.py writes. A test runs `count` in a browser and compares all of it with the Python code.

/** Parameters for hidden size d, bottleneck m, L layers, N tasks, the top k layers fine-tuned;
 *  `against` is what shares and totals are of: "encoder" or "all". */
function count({ d, m, L, N, k, against = "encoder" }) {
  const adapter = FORMULA.of(d, m);
  const adapters = 2 * L * adapter;
  const norms = 2 * d * (2 * L + 1);
  const layer = 12 * d * d + 13 * d; // attention 4dd + 4d, feed-forward 8dd + 5d, LayerNorms 4d
  const encoder = L * layer;
  const all = (30522 + 512 + 2) * d + 2 * d + encoder + d * d + d; // embeddings, layers, pooler
  const model = against === "all" ? all : encoder;
  const top = k * layer;
  const shared = k < L ? model : model - encoder; // of the base, beside tasks with k layers of their own
  const total = { adapters: model + N * adapters, top: shared + N * top, full: N * model };
  return {
    adapter, adapters, norms, layer, encoder, all, model, top, total,
    share: { adapters: adapters / model, top: top / model, full: 1 },
    times: { adapters: total.adapters / model, top: total.top / model, full: N },
  };
}

const LARGE = { d: 1024, L: 24 };
const BASE = { d: 768, L: 12 };
const POINTS = [
  { letter: "a", words: "adapters, m = 64", N: 9, share: 2.1, times: 1.2, m: [64, 64], base: LARGE },
  { letter: "b", words: "adapters, m = 8, 64 or 256", N: 9, share: 3.6, times: 1.3, m: [8, 256], base: LARGE },
  { letter: "c", words: "full fine-tuning", N: 9, share: 100, times: 9.0, printed: "9.0x", base: LARGE },
  { letter: "d", words: "adapters, m = 2 to 64", N: 17, share: 1.14, times: 1.19, m: [2, 64], base: BASE },
  { letter: "e", words: "variable fine-tuning (top k)", N: 17, share: 52.9, times: 9.9, base: BASE },
  { letter: "f", words: "full fine-tuning", N: 17, share: 100, times: 17, base: BASE },
];

/** The total that a point's share gives, and the mean bottleneck size or number of layers behind it. */
function behind({ N, share, m, base }) {
  const { encoder } = count({ ...base, m: 1, N, k: 1 });
  if (share === 100) return { times: N, size: null, layers: base.L };
  const own = (share / 100) * encoder;
  const fixed = FORMULA.of(base.d, 0); // an adapter's parameters grow with m along a line
  const size = m ? (own / (2 * base.L) - fixed) / (FORMULA.of(base.d, 1) - fixed) : null;
  return { times: 1 + (N * share) / 100, size, layers: m ? null : (share / 100) * base.L };
}

// -------------------------------------------------------------------------------------- drawing

const BOX = { left: 50, right: 366, top: 14, bottom: 278 };
const whole = (x) => x.toLocaleString("en-GB", { maximumFractionDigits: 0 });
const percent = (x) => `${(100 * x).toPrecision(100 * x >= 100 ? 3 : 2)} %`;
const multiple = (x) => `${x.toFixed(x < 2 ? 2 : 1)}x`;

function element(parent, name, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  parent.append(made);
  return made;
}

const along = (low, high, from, to, logarithmic) => (value) => {
  const at = logarithmic ? Math.log : (v) => v;
  const part = (at(value) - at(low)) / (at(high) - at(low));
  return from + Math.min(1, Math.max(0, part)) * (to - from);
};

/** An empty diagram with its axes; the two scales, from values to places. */
function axes(svg, xs, ys, xName, yName) {
  svg.replaceChildren();
  const x = along(xs.low, xs.high, BOX.left, BOX.right, xs.logarithmic);
  const y = along(ys.low, ys.high, BOX.bottom, BOX.top, true);
  for (const tick of ys.ticks) {
    element(svg, "path", { class: "grid", d: `M${BOX.left} ${y(tick)}H${BOX.right}` });
    element(svg, "text", { x: BOX.left - 5, y: y(tick) + 4, "text-anchor": "end" }, `${tick}${ys.unit}`);
  }
  for (const tick of xs.ticks) {
    element(svg, "path", { class: "axis", d: `M${x(tick)} ${BOX.bottom}v5` });
    element(svg, "text", { x: x(tick), y: BOX.bottom + 18, "text-anchor": "middle" }, tick);
  }
  element(svg, "path", { class: "axis", d: `M${BOX.left} ${BOX.top}V${BOX.bottom}H${BOX.right}`, fill: "none" });
  element(svg, "text", { x: (BOX.left + BOX.right) / 2, y: BOX.bottom + 36, "text-anchor": "middle" }, xName);
  svg.setAttribute("aria-label", yName);
  return { x, y };
}

const line = (places) => "M" + places.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");

function name(svg, kind, x, y, text, anchor = "end") {
  element(svg, "text", { class: `name ${kind}`, x, y, "text-anchor": anchor }, text);
}

/** A point of the paper: a circle, or a bar over several sizes; its letter above, below or at the right. */
function mark(svg, point, x1, x2, y, where) {
  const group = element(svg, "g", { class: "paper", "data-letter": point.letter });
  const middle = (x1 + x2) / 2;
  if (x2 > x1) element(group, "path", { d: `M${x1} ${y - 3}H${x2}v6H${x1}z` });
  else element(group, "circle", { cx: x1, cy: y, r: 4.5 });
  const [dx, dy] = { above: [0, -8], below: [0, 18], right: [13, 5] }[where];
  element(group, "text", { x: middle + dx, y: y + dy, "text-anchor": "middle" }, point.letter);
  element(group, "title", {}, `${point.words}, ${point.N} tasks: ${point.share} %, ${point.times}x`);
}

function drawTotals(svg, at) {
  const xs = { low: 1, high: 30, ticks: [1, 5, 10, 15, 20, 25, 30] };
  const ys = { low: 0.8, high: 36, ticks: [1, 2, 5, 10, 20], unit: "x" };
  const now = count(at);
  const says = `For ${at.N} tasks: adapters ${multiple(now.times.adapters)}, top ${at.k} layers ` +
    `${multiple(now.times.top)}, everything ${at.N}x`;
  const { x, y } = axes(svg, xs, ys, "tasks N", says);
  element(svg, "path", { class: "now", d: `M${x(at.N)} ${BOX.top}V${BOX.bottom}` });
  for (const kind of ["full", "top", "adapters"]) {
    const places = [];
    for (let N = xs.low; N <= xs.high; N++) places.push([x(N), y(count({ ...at, N }).times[kind])]);
    element(svg, "path", { class: `curve ${kind}`, d: line(places) });
    element(svg, "circle", { class: "dot", cx: x(at.N), cy: y(now.times[kind]), r: 5 });
  }
  const end = count({ ...at, N: 30 }).times;
  name(svg, "full", x(29), y(30) - 9, "everything");
  name(svg, "adapters", x(29), y(end.adapters) + (end.adapters < 3 ? -8 : 20), "adapters");
  if (end.top < 22 && end.top > 1.5 * end.adapters) name(svg, "top", x(30), y(end.top) + 24, `top ${at.k}`);
  for (const point of POINTS) {
    const where = "ae".includes(point.letter) ? "below" : "above";
    mark(svg, point, x(point.N), x(point.N), y(point.times), where);
  }
}

function drawShares(svg, at) {
  const sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
  const xs = { low: 1, high: 700, ticks: sizes.filter((m) => m !== 2 && m !== 8 && m !== 128), logarithmic: true };
  const ys = { low: 0.02, high: 180, ticks: [0.1, 1, 10, 100], unit: " %" };
  const now = count(at);
  const says = `Per task: adapters ${percent(now.share.adapters)}, top ${at.k} layers ` +
    `${percent(now.share.top)}, everything 100 %`;
  const { x, y } = axes(svg, xs, ys, "bottleneck size m", says);
  element(svg, "path", { class: "now", d: `M${x(at.m)} ${BOX.top}V${BOX.bottom}` });
  const curve = sizes.map((m) => [x(m), y(100 * count({ ...at, m }).share.adapters)]);
  element(svg, "path", { class: "curve full", d: line([[x(1), y(100)], [x(700), y(100)]]) });
  const top = y(100 * now.share.top);
  element(svg, "path", { class: "curve top", d: line([[x(1), top], [x(700), top]]) });
  element(svg, "path", { class: "curve adapters", d: line(curve) });
  element(svg, "circle", { class: "dot", cx: x(at.m), cy: y(100 * now.share.adapters), r: 5 });
  name(svg, "full", x(1.15), y(100) - 7, "everything", "start");
  name(svg, "top", x(1.15), top + 17, `top ${at.k} of ${at.L} layers`, "start");
  const under = y(100 * count({ ...at, m: 6 }).share.adapters) + 18;
  name(svg, "adapters", x(6), Math.min(under, BOX.bottom - 6), "adapters", "start");
  const edge = { c: 440, f: 600, e: 520 }; // fine-tuning has no m: its points stand at the right
  for (const point of POINTS) {
    const [low, high] = point.m ?? [edge[point.letter], edge[point.letter]];
    const where = { a: "right", d: "below", e: "below" }[point.letter] ?? "above";
    mark(svg, point, x(low), x(high), y(point.share), where);
  }
}

// ------------------------------------------------------------------------------------- the page

const NAMES = ["d", "m", "L", "N", "k"];
const at = (id) => document.getElementById(id);

function settings() {
  at("k").max = at("L").value; // a browser moves k down with it
  const read = Object.fromEntries(NAMES.map((id) => [id, Number(at(id).value)]));
  return { ...read, against: at("against").value };
}

function formulas({ d, m, L, N, k }, now) {
  const own = whole(now.adapters);
  const times = FORMULA.text.replaceAll("*", "×");
  const filled = times.replace(/\b[dm]\b/g, (name) => ({ d, m })[name]);
  return [
    `one adapter: ${times} = ${filled} = <b>${whole(now.adapter)}</b>`,
    `all adapters: 2L of them = ${2 * L} × ${whole(now.adapter)} = <b>${own}</b>`,
    `one layer: 12d² + 13d = 12 × ${d}² + 13 × ${d} = <b>${whole(now.layer)}</b>`,
    `the encoder: L layers = ${L} × ${whole(now.layer)} = <b>${whole(now.encoder)}</b>`,
    `the whole model, embeddings and pooler too: <b>${whole(now.all)}</b>`,
    `adapters for N tasks: 1 + N × share = 1 + ${N} × ${own} / ${whole(now.model)} = <b>${multiple(now.times.adapters)}</b>`,
    `all LayerNorms: 2d (2L + 1) = 2 × ${d} × ${2 * L + 1} = <b>${whole(now.norms)}</b>, not counted above`,
  ];
}

function show() {
  const set = settings();
  const now = count(set);
  for (const id of NAMES) at(`${id}-value`).textContent = whole(set[id]);
  at("k-value").textContent = `${set.k} of ${set.L}`;
  at("tasks").textContent = set.N === 1 ? "1 task" : `${set.N} tasks`;
  at("top-layers").textContent = set.k === 1 ? "layer" : `${set.k} layers`;
  const own = { adapters: now.adapters, top: now.top, full: now.model };
  for (const kind of ["adapters", "top", "full"]) {
    const values = [own[kind], now.share[kind], now.times[kind], now.total[kind]];
    const words = [whole(values[0]), percent(values[1]), multiple(values[2]), whole(values[3])];
    document.querySelectorAll(`#row-${kind} td`).forEach((cell, i) => {
      cell.textContent = words[i];
      cell.dataset.value = values[i];
    });
  }
  at("formulas").innerHTML = formulas(set, now).map((text) => `<p>${text}</p>`).join("");
  drawTotals(at("totals"), set);
  drawShares(at("shares"), set);
}

function listPoints() {
  at("points").tBodies[0].innerHTML = POINTS.map((point) => {
    const { times, size, layers } = behind(point);
    const that = size === null ? `${layers.toFixed(1).replace(".0", "")} of ${point.base.L} layers` : `mean m about ${whole(size)}`;
    const cells = [point.N, `${point.share} %`, point.printed ?? `${point.times}x`, `${times.toFixed(2)}x`, that];
    return `<tr><th scope="row">${point.letter}</th><td class="words">${point.words}</td>` +
      cells.map((cell) => `<td>${cell}</td>`).join("") + "</tr>";
  }).join("");
}

for (const id of NAMES) at(id).addEventListener("input", show);
at("against").addEventListener("input", show);
for (const button of document.querySelectorAll("button[data-set]")) {
  button.addEventListener("click", () => {
    const values = button.dataset.set.split(" ");
    at("L").value = values[2];
    at("k").max = values[2]; // before k is set, or it could not go up
    NAMES.forEach((id, i) => { at(id).value = values[i]; });
    show();
  });
}
listPoints();
show();
