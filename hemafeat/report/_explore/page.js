"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const D = JSON.parse($("data").textContent);
  const N = D.n, MISSING = D.missing, NO_LABEL = "no label";

  // --- Data ---------------------------------------------------------------------------------

  const bytes = (text) => {
    const raw = atob(text), out = new Uint8Array(raw.length);
    for (let k = 0; k < raw.length; k++) out[k] = raw.charCodeAt(k);
    return out;
  };
  const block = (id) => bytes($(`block-${id}`).textContent.trim());
  const codes16 = (text) => new Uint16Array(bytes(text).buffer);
  const IMAGE = new Uint32Array(bytes(D.images.codes).buffer);
  const CELL = new Int32Array(bytes(D.cells).buffer);
  const VALUES = new Uint16Array(block("values").buffer);
  const NAMES = D.names.map((c) => ({ ...c, codes: codes16(c.codes) }));
  const LABEL = NAMES.find((c) => c.key === D.label) || null;
  const CLASSES = D.classes;
  const imageOf = (i) => D.images.head + D.images.tails[IMAGE[i]];
  const labelOf = (i) => (LABEL && LABEL.codes[i] !== MISSING ? LABEL.values[LABEL.codes[i]] : null);
  const column = (k) => VALUES.subarray(k * N, (k + 1) * N);
  const number = (k, i) => {
    const code = VALUES[k * N + i], c = D.numbers[k];
    return code === MISSING ? NaN : c.low + ((c.high - c.low) * code) / (MISSING - 1);
  };
  const short = (x) => {
    if (x === null || Number.isNaN(x)) return "–";
    const a = Math.abs(x);
    const text = a >= 1e5 || (a > 0 && a < 1e-3) ? x.toExponential(2) : String(Number(x.toPrecision(3)));
    return text.replace("-", "\u2212");
  };
  const count = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u2009");
  const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
  const percent = (x) => `${(100 * x).toFixed(x >= 0.0005 && x < 0.0995 ? 1 : 0)} %`;
  const el = (tag, props = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(props)) {
      if (name === "class") node.className = value;
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name in node && name !== "list") node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children.filter((c) => c !== null && c !== undefined));
    return node;
  };
  const svg = (tag, props = {}, ...children) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(props)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // A fixed random order, so that no class covers the others.
  const ORDER = new Uint32Array(N);
  {
    let seed = 1;
    for (let k = 0; k < N; k++) ORDER[k] = k;
    for (let k = N - 1; k > 0; k--) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      const j = seed % (k + 1);
      [ORDER[k], ORDER[j]] = [ORDER[j], ORDER[k]];
    }
  }

  const colourOf = (k) =>
    k < D.colours.length ? D.colours[k] : `hsl(${(k * 137.5) % 360} ${k % 2 ? 55 : 70}% ${45 + 8 * (k % 3)}%)`;
  const VIRIDIS = ["#440154", "#482777", "#3e4a89", "#31688e", "#26838f", "#1f9d8a", "#6cce5a", "#b6de2b", "#fee825"];
  const STEPS = 33;
  const ramp = (t) => {
    const x = Math.min(0.9999, Math.max(0, t)) * (VIRIDIS.length - 1), k = Math.floor(x), f = x - k;
    const part = (hex, at) => parseInt(hex.slice(at, at + 2), 16);
    const mix = [1, 3, 5].map((at) => Math.round(part(VIRIDIS[k], at) * (1 - f) + part(VIRIDIS[k + 1], at) * f));
    return `rgb(${mix.join(" ")})`;
  };

  // --- Pictures -----------------------------------------------------------------------------

  const P = D.pictures;
  const SHOWN = P.sheets ? block("shown") : new Uint8Array(N);
  const SHEETS = [];
  const LINES = P.sheets ? block("outlines") : new Uint8Array(0);
  const LINE_AT = new Uint32Array(N);
  if (P.sheets) {
    let at = 0;
    for (let i = 0; i < N; i++) {
      LINE_AT[i] = at;
      let n = LINES[at++];
      while (n--) at += 2 + 2 * LINES[at + 1];
    }
  }
  const sheet = (k) => {
    if (!SHEETS[k]) {
      const image = new Image();
      image.src = $(`block-sheet-${k}`).textContent.trim();
      SHEETS[k] = image;
    }
    return SHEETS[k];
  };
  const withOutlines = () => $("outlines").checked;

  function drawCell(canvas, i) {
    const side = canvas.width, ctx = canvas.getContext("2d");
    ctx.clearRect(0, 0, side, side);
    if (!P.sheets || !SHOWN[i]) {
      ctx.fillStyle = css("--grid");
      ctx.fillRect(0, 0, side, side);
      ctx.fillStyle = css("--muted");
      ctx.font = `${Math.round(side / 11)}px sans-serif`;
      ctx.textAlign = "center";
      ctx.fillText("no picture", side / 2, side / 2);
      return;
    }
    const per = P.per_row ** 2, image = sheet(Math.floor(i / per)), k = i % per;
    const paint = () => {
      if (canvas.dataset.cell !== String(i)) return;
      ctx.imageSmoothingQuality = "high";
      ctx.drawImage(image, (k % P.per_row) * P.side, Math.floor(k / P.per_row) * P.side, P.side, P.side, 0, 0, side, side);
      if (!withOutlines()) return;
      let at = LINE_AT[i], n = LINES[at++];
      while (n--) {
        const kind = LINES[at], points = LINES[at + 1];
        at += 2;
        ctx.beginPath();
        for (let p = 0; p < points; p++, at += 2) ctx.lineTo((LINES[at] / 255) * side, (LINES[at + 1] / 255) * side);
        ctx.closePath();
        ctx.strokeStyle = kind ? "#ffd400" : "#00c853";
        ctx.lineWidth = Math.max(1.2, side / 130);
        ctx.stroke();
      }
    };
    canvas.dataset.cell = String(i);
    if (image.complete && image.naturalWidth) paint();
    else image.addEventListener("load", paint, { once: true });
  }
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  const picture = (i, side) => {
    const canvas = el("canvas", { width: Math.round(side * ratio), height: Math.round(side * ratio), class: "cell" });
    drawCell(canvas, i);
    return canvas;
  };

  function tile(i, lines = [], extra = null) {
    const edit = EDITS.get(i);
    const label = labelOf(i);
    const name = `${label || NO_LABEL}, cell ${CELL[i]} of ${D.images.tails[IMAGE[i]]}`;
    const button = el(
      "button",
      { type: "button", class: "pick", title: imageOf(i), "aria-label": name, onclick: () => choose(i) },
      picture(i, 112),
      el("b", {}, label || NO_LABEL),
      ...lines.map((line) => el("span", {}, line)),
    );
    const item = el("li", { class: edit ? "edited" : "" }, button, extra);
    item.dataset.cell = i;
    if (edit) button.append(el("span", { class: "edit" }, edit.kind === "exclude" ? "left out" : `→ ${edit.label}`));
    return item;
  }
  function gallery(node, cells, make, step = 48) {
    let shown = 0;
    node.replaceChildren();
    const list = el("ul", { class: "tiles small" });
    const more = el("button", { type: "button", class: "more", onclick: () => add() });
    const add = () => {
      for (const i of cells.slice(shown, shown + step)) list.append(make(i));
      shown = Math.min(shown + step, cells.length);
      step = 48;
      more.textContent = `Show ${Math.min(step, cells.length - shown)} more of ${count(cells.length - shown)}`;
      more.hidden = shown >= cells.length;
    };
    node.append(list, more);
    add();
  }

  // --- Edits --------------------------------------------------------------------------------

  const EDITS = new Map();
  const KEY = `hemafeat-edits-${D.key}`;
  const keep = () => {
    try {
      localStorage.setItem(KEY, JSON.stringify([...EDITS]));
    } catch (error) {
      // Some browsers store nothing for files; the edits then last as long as the page.
    }
  };
  try {
    for (const [i, edit] of JSON.parse(localStorage.getItem(KEY) || "[]")) if (i < N) EDITS.set(i, edit);
  } catch (error) {
    EDITS.clear();
  }
  function edit(cells, kind, label = "") {
    for (const i of cells) {
      if (kind === "none" || (kind === "relabel" && label === labelOf(i))) EDITS.delete(i);
      else EDITS.set(i, { kind, label });
    }
    keep();
    showEdits();
    for (const item of document.querySelectorAll("li[data-cell]")) {
      const i = Number(item.dataset.cell), now = EDITS.get(i);
      item.classList.toggle("edited", Boolean(now));
      item.querySelector(".edit")?.remove();
      if (now) item.querySelector("button").append(el("span", { class: "edit" }, now.kind === "exclude" ? "left out" : `→ ${now.label}`));
    }
    draw();
  }
  const field = (text) => {
    let value = String(text);
    // A spreadsheet would run this as a formula; hemafeat takes the apostrophe off again.
    if (/^'*[=+\-@\t\r\n]/.test(value) && !/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(value)) value = `'${value}`;
    return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  };
  const csv = () => {
    const rows = [...EDITS].sort((a, b) => a[0] - b[0]).map(([i, e]) => [imageOf(i), CELL[i], e.kind, e.label, labelOf(i) ?? ""]);
    return [["image", "cell", "edit", "label", "was"], ...rows].map((row) => row.map(field).join(",") + "\n").join("");
  };
  function save() {
    const link = el("a", { href: URL.createObjectURL(new Blob([csv()], { type: "text/csv" })), download: "edits.csv" });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
  function showEdits() {
    let relabelled = 0;
    for (const e of EDITS.values()) relabelled += e.kind === "relabel";
    $("edits").textContent = EDITS.size
      ? `${count(relabelled)} relabelled, ${count(EDITS.size - relabelled)} left out`
      : "No edits";
    $("save").disabled = $("forget").disabled = !EDITS.size;
  }

  // --- Map ----------------------------------------------------------------------------------

  const canvas = $("points"), over = $("over");
  const X = new Float64Array(N), Y = new Float64Array(N);
  const BUCKET = new Uint16Array(N);
  const SELECTED = new Uint8Array(N);
  const HIDDEN = new Set();
  let selection = [], chosen = -1, hovered = -1, tool = "move", palette = [], view = null, home = null;
  let equal = true, axes = null, width = 0, height = 0, radius = 3, grid = null, raster = null, pending = false;

  const select = (id, groups) => {
    const node = $(id);
    for (const [title, options] of groups) {
      const into = title ? el("optgroup", { label: title }) : node;
      for (const [value, text] of options) into.append(el("option", { value }, text));
      if (title) node.append(into);
    }
    return node;
  };
  const featureGroups = () => {
    const groups = new Map();
    D.numbers.forEach((c, k) => {
      const title = c.group || "Of the cell";
      if (!groups.has(title)) groups.set(title, []);
      groups.get(title).push([`n${k}`, c.group ? c.key : c.title]);
    });
    return [...groups];
  };
  const unitOf = (k) => (D.numbers[k].unit && D.numbers[k].unit !== "1" ? `, ${D.numbers[k].unit}` : "");
  const colourSelect = select("colour", [["", NAMES.map((c, k) => [`t${k}`, c.title])], ...featureGroups()]);
  const acrossSelect = select("across", [["", D.maps.map((m, k) => [`m${k}`, m.title])], ...featureGroups()]);
  const upSelect = select("up", featureGroups());
  if (!NAMES.length && D.numbers.length) colourSelect.value = "n0";

  function place() {
    const at = acrossSelect.value;
    equal = at[0] === "m";
    upSelect.parentElement.hidden = equal;
    if (equal) {
      const map = D.maps[Number(at.slice(1))], points = new Float32Array(block(`map-${map.key}`).buffer);
      for (let i = 0; i < N; i++) {
        X[i] = points[2 * i];
        Y[i] = points[2 * i + 1];
      }
      axes = map.axes[0] ? map.axes : null;
    } else {
      const a = Number(at.slice(1)), b = Number(upSelect.value.slice(1));
      for (let i = 0; i < N; i++) {
        X[i] = number(a, i);
        Y[i] = number(b, i);
      }
      axes = [a, b].map((k) => D.numbers[k].title + unitOf(k));
    }
    let without = 0;
    const xs = [], ys = [];
    for (let i = 0; i < N; i++) {
      if (Number.isNaN(X[i]) || Number.isNaN(Y[i])) without++;
      else {
        xs.push(X[i]);
        ys.push(Y[i]);
      }
    }
    $("without").textContent = without ? `${plural(without, "cell")} without a value ${without === 1 ? "is" : "are"} not drawn.` : "";
    $("mapnote").hidden = !equal || Boolean(axes);
    // A few far values must not squeeze all others into a corner; they are found by moving there.
    const span = (values) => {
      const sorted = Float64Array.from(values).sort();
      if (!sorted.length) return [0, 1];
      const cut = equal ? 0 : Math.floor(sorted.length * 0.002);
      let low = sorted[cut], high = sorted[sorted.length - 1 - cut];
      if (high - low < 1e-12) [low, high] = [low - 0.5, high + 0.5];
      const pad = 0.04 * (high - low);
      return [low - pad, high + pad];
    };
    const [x0, x1] = span(xs), [y0, y1] = span(ys);
    home = { x0, x1, y0, y1 };
    whole();
  }
  function whole() {
    view = { ...home };
    fit();
    draw();
  }
  function fit() {
    if (!equal || !width) return;
    const w = view.x1 - view.x0, h = view.y1 - view.y0, [iw, ih] = inner();
    const unit = Math.max(w / iw, h / ih), cx = (view.x0 + view.x1) / 2, cy = (view.y0 + view.y1) / 2;
    view = { x0: cx - (unit * iw) / 2, x1: cx + (unit * iw) / 2, y0: cy - (unit * ih) / 2, y1: cy + (unit * ih) / 2 };
  }
  const margin = () => (axes ? { left: 58, bottom: 40, top: 8, right: 10 } : { left: 8, bottom: 8, top: 8, right: 8 });
  const inner = () => {
    const m = margin();
    return [Math.max(1, width - m.left - m.right), Math.max(1, height - m.top - m.bottom)];
  };
  // Data to pixels of the page: x * ax + bx, and y * ay + by.
  const lens = () => {
    const m = margin(), [iw, ih] = inner();
    const ax = iw / (view.x1 - view.x0), ay = -ih / (view.y1 - view.y0);
    return { ax, bx: m.left - view.x0 * ax, ay, by: m.top + ih - view.y0 * ay };
  };
  const toX = (x) => margin().left + ((x - view.x0) / (view.x1 - view.x0)) * inner()[0];
  const toY = (y) => margin().top + (1 - (y - view.y0) / (view.y1 - view.y0)) * inner()[1];
  const fromX = (px) => view.x0 + ((px - margin().left) / inner()[0]) * (view.x1 - view.x0);
  const fromY = (py) => view.y0 + (1 - (py - margin().top) / inner()[1]) * (view.y1 - view.y0);

  function paint() {
    const by = colourSelect.value, k = Number(by.slice(1));
    HIDDEN.clear();
    if (by[0] === "t") {
      const c = NAMES[k];
      palette = [...c.values.map((_, j) => colourOf(j)), "missing"];
      for (let i = 0; i < N; i++) BUCKET[i] = c.codes[i] === MISSING ? c.values.length : c.codes[i];
    } else {
      const values = column(k);
      palette = [...Array.from({ length: STEPS }, (_, j) => ramp(j / (STEPS - 1))), "missing"];
      const known = values.filter((v) => v !== MISSING).sort();
      const low = known[Math.floor(known.length * 0.01)] ?? 0, high = known[Math.floor(known.length * 0.99)] ?? 1;
      for (let i = 0; i < N; i++) {
        const t = high > low ? (values[i] - low) / (high - low) : 0.5;
        BUCKET[i] = values[i] === MISSING ? STEPS : Math.round(Math.min(1, Math.max(0, t)) * (STEPS - 1));
      }
      const c = D.numbers[k], real = (code) => c.low + ((c.high - c.low) * code) / (MISSING - 1);
      paint.span = c.low === null ? [null, null] : [real(low), real(high)];
    }
    legend(by[0], k);
    draw();
  }
  function legend(kind, k) {
    const node = $("legend");
    node.replaceChildren();
    if (kind === "n") {
      const stops = VIRIDIS.map((c, j) => `${c} ${(100 * j) / (VIRIDIS.length - 1)}%`).join(", ");
      const bar = el("span", { class: "ramp" });
      bar.style.background = `linear-gradient(90deg, ${stops})`;
      node.append(el("span", {}, short(paint.span[0])), bar, el("span", {}, short(paint.span[1]) + unitOf(k)));
      return;
    }
    const c = NAMES[k], counts = new Array(c.values.length + 1).fill(0);
    for (let i = 0; i < N; i++) counts[BUCKET[i]]++;
    const most = 40;
    palette.forEach((colour, j) => {
      if (!counts[j] || j >= most + (j === c.values.length ? c.values.length : 0)) return;
      const dot = el("i");
      dot.style.background = colour === "missing" ? css("--grid") : colour;
      const name = j < c.values.length ? c.values[j] : "unknown";
      const chip = el("button", { type: "button", class: "chip", "aria-pressed": "true", title: "Show or hide; double-click shows it alone" }, dot, `${name} `, el("small", {}, count(counts[j])));
      const set = () => {
        [...node.querySelectorAll(".chip")].forEach((b) => b.setAttribute("aria-pressed", String(!HIDDEN.has(Number(b.dataset.bucket)))));
        draw();
      };
      chip.dataset.bucket = j;
      chip.addEventListener("click", () => {
        if (!HIDDEN.delete(j)) HIDDEN.add(j);
        set();
      });
      chip.addEventListener("dblclick", () => {
        const alone = HIDDEN.size === palette.length - 1 && !HIDDEN.has(j);
        HIDDEN.clear();
        if (!alone) palette.forEach((_, other) => other !== j && HIDDEN.add(other));
        set();
      });
      node.append(chip);
    });
    if (c.values.length > most) node.append(el("span", {}, `and ${c.values.length - most} more`));
  }

  const visible = (i) => !HIDDEN.has(BUCKET[i]) && !Number.isNaN(X[i]) && !Number.isNaN(Y[i]);
  const rgb = (colour) => {
    const ctx = over.getContext("2d");
    ctx.fillStyle = colour === "missing" ? css("--grid") : colour;
    const hex = ctx.fillStyle;
    return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  };
  function draw() {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      drawNow();
    });
  }
  // Dots are blended here, pixel by pixel: that takes milliseconds with and without a graphics card.
  function drawNow() {
    if (!width || !view) return;
    const start = performance.now(), ctx = canvas.getContext("2d");
    const zoom = (home.x1 - home.x0) / (view.x1 - view.x0);
    radius = Math.min(7, Math.max(1.6, Math.min(4.2, 190 / Math.sqrt(N))) * Math.pow(Math.max(1, zoom), 0.35));
    const W = canvas.width, H = canvas.height;
    if (!raster || raster.width !== W || raster.height !== H) raster = ctx.createImageData(W, H);
    const data = raster.data;
    data.fill(0);
    const m = margin(), [iw, ih] = inner(), { ax, bx, ay, by } = lens();
    const left = Math.ceil(m.left * ratio), right = Math.floor((m.left + iw) * ratio);
    const top = Math.ceil(m.top * ratio), bottom = Math.floor((m.top + ih) * ratio);
    const R = radius * ratio, reach = Math.ceil(R + 0.5), dx = [], dy = [], cover = [];
    for (let y = -reach; y <= reach; y++)
      for (let x = -reach; x <= reach; x++) {
        const c = Math.min(1, R + 0.5 - Math.hypot(x, y));
        if (c > 0) dx.push(x), dy.push(y), cover.push(c);
      }
    const colours = palette.map(rgb), some = selection.length > 0, size = cover.length;
    for (const pass of some ? [0, 1] : [0]) {
      const alpha = some && !pass ? 0.16 : 0.85;
      for (let k = 0; k < N; k++) {
        const i = ORDER[k];
        if ((some && SELECTED[i] !== pass) || !visible(i)) continue;
        const px = Math.round((X[i] * ax + bx) * ratio), py = Math.round((Y[i] * ay + by) * ratio);
        if (px < left - reach || py < top - reach || px > right + reach || py > bottom + reach) continue;
        const [r, g, b] = colours[BUCKET[i]];
        for (let j = 0; j < size; j++) {
          const x = px + dx[j], y = py + dy[j];
          if (x < left || x >= right || y < top || y >= bottom) continue;
          const at = 4 * (y * W + x), a = alpha * cover[j], under = (data[at + 3] / 255) * (1 - a), all = a + under;
          data[at] = (r * a + data[at] * under) / all;
          data[at + 1] = (g * a + data[at + 1] * under) / all;
          data[at + 2] = (b * a + data[at + 2] * under) / all;
          data[at + 3] = 255 * all;
        }
      }
    }
    ctx.putImageData(raster, 0, 0);
    const back = $("axes").getContext("2d");
    back.setTransform(ratio, 0, 0, ratio, 0, 0);
    back.clearRect(0, 0, width, height);
    if (axes) drawAxes(back);
    grid = null;
    drawOver();
    drawNow.ms = performance.now() - start;
  }
  // The cells of each square of 24 pixels, as lists that run through `next`.
  const SQUARE = 24;
  function squares() {
    const across = Math.ceil(width / SQUARE) + 1, down = Math.ceil(height / SQUARE) + 1;
    const head = new Int32Array(across * down).fill(-1), next = new Int32Array(N), { ax, bx, ay, by } = lens();
    for (let i = 0; i < N; i++) {
      if (!visible(i)) continue;
      const px = X[i] * ax + bx, py = Y[i] * ay + by;
      if (px < 0 || py < 0 || px >= width || py >= height) continue;
      const at = Math.floor(py / SQUARE) * across + Math.floor(px / SQUARE);
      next[i] = head[at];
      head[at] = i;
    }
    return { across, down, head, next };
  }
  function ticks(low, high, most) {
    const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= rough), out = [];
    for (let v = Math.ceil(low / step) * step; v <= high; v += step) out.push(Math.abs(v) < step / 1e6 ? 0 : v);
    return out;
  }
  function drawAxes(ctx) {
    const m = margin(), [iw, ih] = inner();
    ctx.strokeStyle = css("--grid");
    ctx.fillStyle = css("--muted");
    ctx.lineWidth = 1;
    ctx.font = "12px system-ui, sans-serif";
    ctx.textAlign = "center";
    const cut = (text, room) => {
      while (text.length > 8 && ctx.measureText(text).width > room) text = "…" + text.slice(2);
      return text;
    };
    ctx.beginPath();
    for (const v of ticks(view.x0, view.x1, Math.max(2, iw / 90))) {
      ctx.moveTo(toX(v), m.top);
      ctx.lineTo(toX(v), m.top + ih);
      ctx.fillText(short(v), toX(v), m.top + ih + 15);
    }
    ctx.textAlign = "right";
    for (const v of ticks(view.y0, view.y1, Math.max(2, ih / 60))) {
      ctx.moveTo(m.left, toY(v));
      ctx.lineTo(m.left + iw, toY(v));
      ctx.fillText(short(v), m.left - 5, toY(v) + 4);
    }
    ctx.stroke();
    ctx.fillStyle = css("--ink");
    ctx.textAlign = "center";
    ctx.fillText(cut(axes[0], iw), m.left + iw / 2, height - 6);
    ctx.save();
    ctx.translate(12, m.top + ih / 2);
    ctx.rotate(-Math.PI / 2);
    ctx.fillText(cut(axes[1], ih), 0, 0);
    ctx.restore();
  }
  function drawOver() {
    const ctx = over.getContext("2d");
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, width, height);
    const ring = (i, colour, more, wide) => {
      if (i < 0 || !visible(i)) return;
      ctx.strokeStyle = colour;
      ctx.lineWidth = wide;
      ctx.beginPath();
      ctx.arc(toX(X[i]), toY(Y[i]), radius + more, 0, 7);
      ctx.stroke();
    };
    for (const i of EDITS.keys()) ring(i, css("--alarm"), 1.5, 1.5);
    ring(chosen, css("--ink"), 3, 2.5);
    ring(hovered, css("--ink"), 3, 1.5);
    if (path.length > 1) {
      ctx.strokeStyle = css("--accent");
      ctx.fillStyle = css("--accent") + "22";
      ctx.lineWidth = 1.5;
      ctx.setLineDash([5, 4]);
      ctx.beginPath();
      corners().forEach(([px, py], k) => (k ? ctx.lineTo(px, py) : ctx.moveTo(px, py)));
      ctx.closePath();
      ctx.fill();
      ctx.stroke();
      ctx.setLineDash([]);
    }
  }
  function nearest(px, py, within) {
    let best = -1, least = within * within;
    if (!view) return best;
    grid ??= squares();
    const { ax, bx, ay, by } = lens(), gx = Math.floor(px / SQUARE), gy = Math.floor(py / SQUARE);
    for (let a = Math.max(0, gx - 1); a <= Math.min(grid.across - 1, gx + 1); a++)
      for (let b = Math.max(0, gy - 1); b <= Math.min(grid.down - 1, gy + 1); b++)
        for (let i = grid.head[b * grid.across + a]; i >= 0; i = grid.next[i]) {
          const d = (X[i] * ax + bx - px) ** 2 + (Y[i] * ay + by - py) ** 2;
          if (d < least) [best, least] = [i, d];
        }
    return best;
  }

  // Pointers: one moves, boxes or draws a lasso; two zoom.
  const pointers = new Map();
  let path = [], moved = false;
  const local = (event) => {
    const box = over.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const corners = () => {
    if (tool !== "box") return path;
    const [[ax, ay], [bx, by]] = [path[0], path[path.length - 1]];
    return [[ax, ay], [bx, ay], [bx, by], [ax, by]];
  };
  over.addEventListener("pointerdown", (event) => {
    over.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, local(event));
    moved = false;
    path = pointers.size === 1 && (tool !== "move" || event.shiftKey) ? [local(event)] : [];
    if (path.length && tool === "move") setTool("box");
  });
  over.addEventListener("pointermove", (event) => {
    const at = local(event), before = pointers.get(event.pointerId);
    if (!before) {
      hover(nearest(...at, 14));
      return;
    }
    if (Math.hypot(at[0] - before[0], at[1] - before[1]) < 3 && !moved) return;
    moved = true;
    if (pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
      const was = Math.hypot(before[0] - other[0], before[1] - other[1]);
      const now = Math.hypot(at[0] - other[0], at[1] - other[1]);
      pointers.set(event.pointerId, at);
      if (was > 10) zoomAt(other[0], other[1], now / was);
      return;
    }
    pointers.set(event.pointerId, at);
    if (path.length) {
      path.push(at);
      drawOver();
    } else {
      const dx = fromX(before[0]) - fromX(at[0]), dy = fromY(before[1]) - fromY(at[1]);
      view = { x0: view.x0 + dx, x1: view.x1 + dx, y0: view.y0 + dy, y1: view.y1 + dy };
      draw();
    }
  });
  const lift = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (event.type === "pointerup" && !moved) choose(nearest(...local(event), event.pointerType === "touch" ? 24 : 14));
    else if (event.type === "pointerup" && path.length > 1) inside(corners(), event.shiftKey && tool === "lasso");
    path = [];
    drawOver();
  };
  over.addEventListener("pointerup", lift);
  over.addEventListener("pointercancel", lift);
  over.addEventListener("pointerleave", () => pointers.size || hover(-1));
  over.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomAt(...local(event), Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)));
  }, { passive: false });
  over.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (step) {
      const dx = 0.1 * step[0] * (view.x1 - view.x0), dy = 0.1 * step[1] * (view.y1 - view.y0);
      view = { x0: view.x0 + dx, x1: view.x1 + dx, y0: view.y0 + dy, y1: view.y1 + dy };
      draw();
    } else if (event.key === "+" || event.key === "-") zoomAt(width / 2, height / 2, event.key === "+" ? 1.4 : 1 / 1.4);
    else if (event.key === "Escape") pick([]);
    else return;
    event.preventDefault();
  });
  function zoomAt(px, py, factor) {
    const x = fromX(px), y = fromY(py), f = 1 / factor;
    const wide = (view.x1 - view.x0) * f;
    if (wide > 4 * (home.x1 - home.x0) || wide < 1e-5 * (home.x1 - home.x0)) return;
    view = { x0: x + (view.x0 - x) * f, x1: x + (view.x1 - x) * f, y0: y + (view.y0 - y) * f, y1: y + (view.y1 - y) * f };
    draw();
  }
  function inside(polygon, add) {
    const found = [];
    const xs = polygon.map((p) => p[0]), ys = polygon.map((p) => p[1]);
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const { ax, bx, ay, by } = lens();
    for (let i = 0; i < N; i++) {
      if (!visible(i)) continue;
      const px = X[i] * ax + bx, py = Y[i] * ay + by;
      if (px < left || px > right || py < top || py > bottom) continue;
      let within = false;
      for (let a = 0, b = polygon.length - 1; a < polygon.length; b = a++)
        if (ys[a] > py !== ys[b] > py && px < ((xs[b] - xs[a]) * (py - ys[a])) / (ys[b] - ys[a]) + xs[a]) within = !within;
      if (within || (add && SELECTED[i])) found.push(i);
    }
    pick(found);
  }
  function setTool(name) {
    tool = name;
    for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === name));
    over.style.cursor = name === "move" ? "grab" : "crosshair";
  }

  // --- One cell -----------------------------------------------------------------------------

  const HINT = $("one").innerHTML;
  function hover(i) {
    if (i === hovered) return;
    hovered = i;
    drawOver();
    one(i >= 0 ? i : chosen);
  }
  function choose(i) {
    chosen = i;
    drawOver();
    one(i);
    // Where the card beside the map is not in sight.
    if (i >= 0 && (!$("tab-map").classList.contains("on") || window.innerWidth <= 760)) $("dialog-body").replaceChildren(...card(i)), $("dialog").showModal();
  }
  function one(i) {
    if (i < 0) $("one").innerHTML = HINT;
    else $("one").replaceChildren(...card(i));
  }
  const doubtOf = new Map(D.doubts.map((d) => [d[0], d]));
  const evidence = (d) => {
    const lines = [`model: ${percent(d[2] ?? 0)} as labelled, ${percent(d[3] ?? 0)} as suggested`];
    if (d[4] !== null) lines.push(`neighbours: ${percent(d[4])} and ${percent(d[5])}`);
    return lines;
  };
  function card(i) {
    const rows = [], others = [];
    const first = new Set(["predicted", "right", "patient", "dataset", "confidence", "doubt"]);
    for (const c of NAMES) {
      const value = c.codes[i] === MISSING ? "–" : c.values[c.codes[i]];
      const matters = c === LABEL || first.has(c.key) || (c.key.includes("suspected") && value === "yes") || (c.key.includes("reason") && value !== "–");
      (matters ? rows : others).push([c.title, value]);
    }
    for (let k = 0; k < D.first; k++) (first.has(D.numbers[k].key) ? rows : others).push([D.numbers[k].title, short(number(k, i))]);
    const seen = new Set();
    for (const id of [colourSelect.value, acrossSelect.value, upSelect.parentElement.hidden ? "" : upSelect.value]) {
      const k = Number(id.slice(1));
      if (id[0] === "n" && k >= D.first && !seen.has(k)) {
        seen.add(k);
        rows.push([D.numbers[k].title, `${short(number(k, i))}${unitOf(k)} (higher than ${percent(below(k, i))} of ${labelOf(i) ? "its class" : "the cells"})`]);
      }
    }
    const doubt = doubtOf.get(i);
    if (doubt && doubt[7]) rows.unshift(["Label suspected", `${CLASSES[doubt[1]] ?? "another"}? ${evidence(doubt).join("; ")}`]);
    const listed = (pairs) => el("dl", {}, ...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
    const list = listed(rows);
    list.append(el("dt", {}, "Image"), el("dd", { title: imageOf(i) }, `${D.images.tails[IMAGE[i]]}, cell ${CELL[i]}`));
    return [el("div", { class: "portrait" }, picture(i, 224)), tools([i]), list,
      others.length ? el("details", {}, el("summary", {}, "More of this cell"), listed(others)) : ""];
  }
  function below(k, i) {
    const values = column(k), mine = values[i];
    if (mine === MISSING) return NaN;
    let less = 0, known = 0;
    for (let j = 0; j < N; j++) {
      if (values[j] === MISSING || (LABEL && LABEL.codes[j] !== LABEL.codes[i])) continue;
      known++;
      less += values[j] < mine;
    }
    return known > 1 ? less / (known - 1) : 0;
  }
  function tools(cells) {
    const to = el("select", { "aria-label": "New label" }, el("option", { value: "" }, "Relabel as …"), ...CLASSES.map((c) => el("option", { value: c }, c)), el("option", { value: "\0" }, "another class …"));
    to.addEventListener("change", () => {
      let name = to.value;
      if (name === "\0") name = (window.prompt("Name of the class") || "").trim();
      if (name) edit(cells, "relabel", name);
      to.value = "";
    });
    return el("div", { class: "tools" }, D.label ? to : null,
      el("button", { type: "button", onclick: () => edit(cells, "exclude") }, "Leave out"),
      el("button", { type: "button", onclick: () => edit(cells, "none") }, "Undo"));
  }

  // --- Selection ----------------------------------------------------------------------------

  function pick(cells) {
    selection = cells;
    SELECTED.fill(0);
    for (const i of cells) SELECTED[i] = 1;
    draw();
    showSelection();
  }
  function showSelection() {
    const node = $("selection");
    node.replaceChildren();
    node.hidden = !selection.length;
    $("clear").disabled = !selection.length;
    if (!selection.length) return;
    const heading = `${plural(selection.length, "cell")} selected`;
    const cells = el("div");
    node.append(el("h3", {}, heading), tools(selection), composition() ?? "", cells, apart());
    const doubt = D.numbers.findIndex((c) => c.key === "doubt");
    const listed = doubt < 0 ? selection : [...selection].sort((a, b) => (number(doubt, b) || -99) - (number(doubt, a) || -99));
    gallery(cells, listed, (i) => tile(i), 9);
  }
  function composition() {
    const k = colourSelect.value[0] === "t" ? Number(colourSelect.value.slice(1)) : NAMES.indexOf(LABEL);
    if (k < 0) return null;
    const c = NAMES[k], inside = new Map(), all = new Map();
    for (let i = 0; i < N; i++) all.set(c.codes[i], (all.get(c.codes[i]) || 0) + 1);
    for (const i of selection) inside.set(c.codes[i], (inside.get(c.codes[i]) || 0) + 1);
    const list = el("ul", { class: "shares" });
    for (const [code, n] of [...inside].sort((a, b) => b[1] - a[1]).slice(0, 8)) {
      const name = code === MISSING ? "unknown" : c.values[code], fill = el("i");
      fill.style.width = `${(100 * n) / selection.length}%`;
      fill.style.background = code === MISSING ? css("--grid") : colourOf(code);
      list.append(el("li", {}, el("span", {}, name), el("span", { class: "bar" }, fill), el("span", {}, `${count(n)} of ${count(all.get(code))}`)));
    }
    return el("div", {}, el("h4", {}, c.title), list);
  }
  // The columns of which a selected cell and another one are told apart best: the area under the
  // ROC curve, from histograms of 64 steps.
  const key = () => {
    const dot = (colour) => {
      const node = el("i");
      node.style.background = css(colour);
      return node;
    };
    return el("span", { class: "key" }, dot("--mark-line"), "selected", dot("--muted"), "the rest");
  };
  function apart() {
    const box = el("div", {}, el("h4", {}, "What sets them apart", key()));
    if (selection.length < 5 || selection.length > N - 5) {
      box.append(el("p", { class: "note" }, "Five or more cells on either side are needed."));
      return box;
    }
    const found = [];
    for (let k = D.first; k < D.numbers.length; k++) {
      const values = column(k), mine = new Float64Array(64), rest = new Float64Array(64);
      let n = 0, m = 0;
      for (let i = 0; i < N; i++) {
        if (values[i] === MISSING) continue;
        if (SELECTED[i]) mine[values[i] >> 10]++, n++;
        else rest[values[i] >> 10]++, m++;
      }
      if (n < 5 || m < 5) continue;
      let sum = 0, before = 0;
      for (let b = 0; b < 64; b++) {
        sum += mine[b] * (before + rest[b] / 2);
        before += rest[b];
      }
      found.push([Math.abs(sum / (n * m) - 0.5), k, sum / (n * m)]);
    }
    found.sort((a, b) => b[0] - a[0]);
    const families = new Set(), rows = [];
    for (const row of found) {
      // One column of a family, as those of a family say much the same.
      if (!families.has(D.numbers[row[1]].group)) rows.push(row);
      families.add(D.numbers[row[1]].group);
      if (rows.length === 6) break;
    }
    const parts = [["selected", css("--mark-line"), (i) => SELECTED[i] === 1], ["the rest", css("--muted"), (i) => SELECTED[i] === 0]];
    for (const [, k, auc] of rows) {
      const c = D.numbers[k], more = auc > 0.5;
      box.append(el("div", { class: "distribution" },
        el("button", { type: "button", class: "link", title: c.meaning || "", onclick: () => colourBy(`n${k}`) }, c.title),
        el("small", {}, `${more ? "higher" : "lower"} in ${(100 * (more ? auc : 1 - auc)).toFixed(1)} % of pairs`),
        histogram(k, parts)));
    }
    return box;
  }
  function colourBy(id) {
    colourSelect.value = id;
    paint();
  }
  function histogram(k, parts, tall = 54) {
    const BINS = 40, values = column(k), c = D.numbers[k];
    const known = values.filter((v) => v !== MISSING).sort();
    const low = known[Math.floor(known.length * 0.002)] ?? 0, high = known[Math.ceil(known.length * 0.998) - 1] ?? 1;
    const scale = high > low ? BINS / (high - low) : 0;
    const wide = 320, out = svg("svg", { viewBox: `0 0 ${wide} ${tall + 16}`, class: "histogram", role: "img", "aria-label": `Distribution of ${c.title}` });
    const curves = parts.map(([name, colour, member]) => {
      const bins = new Float64Array(BINS);
      let n = 0;
      for (let i = 0; i < N; i++) {
        if (values[i] === MISSING || !member(i)) continue;
        bins[Math.min(BINS - 1, Math.max(0, Math.floor((values[i] - low) * scale)))]++;
        n++;
      }
      const smooth = bins.map((_, b) => ((bins[b - 1] ?? bins[b]) + 2 * bins[b] + (bins[b + 1] ?? bins[b])) / 4 / Math.max(1, n));
      return [name, colour, smooth];
    });
    const top = Math.max(1e-9, ...curves.flatMap(([, , bins]) => [...bins]));
    for (const [name, colour, bins] of curves.reverse()) {
      const points = [...bins].map((v, b) => `${((b + 0.5) / BINS) * wide},${tall - (v / top) * (tall - 3)}`);
      out.append(svg("path", { d: `M${points[0].split(",")[0]},${tall}L${points.join("L")}L${points[BINS - 1].split(",")[0]},${tall}Z`, fill: colour, "fill-opacity": parts.length > 2 ? 0.1 : 0.3, stroke: colour, "stroke-width": 1.6 }, svg("title", {}, name)));
    }
    const real = (code) => (c.low === null ? NaN : c.low + ((c.high - c.low) * code) / (MISSING - 1));
    const text = (x, anchor, value) => {
      const node = svg("text", { x, y: tall + 12, "text-anchor": anchor });
      node.textContent = value;
      return node;
    };
    out.append(svg("line", { x1: 0, x2: wide, y1: tall, y2: tall }), text(0, "start", short(real(low))), text(wide, "end", short(real(high)) + unitOf(k)));
    return out;
  }

  // --- Columns ------------------------------------------------------------------------------

  const TABLE = [
    ["title", "Column", false],
    ["missing", "Missing", true],
    ["outliers", "Outliers", true],
    ["between", "Between classes", true],
    ["correlation", "Most like", true],
  ];
  let sorted = ["between", -1], shownColumn = -1;
  function columns() {
    const wanted = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = D.numbers.map((c, k) => k).slice(D.first).filter((k) => {
      const c = D.numbers[k], text = `${c.key.replaceAll("_", " ")} ${c.key} ${c.meaning}`.toLowerCase();
      return wanted.every((word) => text.includes(word));
    });
    const [by, sign] = sorted, value = (k) => (by === "title" ? 0 : by === "correlation" ? Math.abs(D.numbers[k][by] ?? 0) : (D.numbers[k][by] ?? -1));
    rows.sort((a, b) => (by === "title" ? sign * D.numbers[a].key.localeCompare(D.numbers[b].key) : sign * (value(a) - value(b))) || a - b);
    const head = el("tr");
    for (const [key, title] of TABLE) {
      const button = el("button", { type: "button", class: "link", onclick: () => {
        sorted = [key, sorted[0] === key ? -sorted[1] : key === "title" ? 1 : -1];
        columns();
      } }, title);
      head.append(el("th", { scope: "col", class: key === "title" || key === "correlation" ? "text" : "", "aria-sort": by === key ? (sign > 0 ? "ascending" : "descending") : "none" }, button));
    }
    const body = el("tbody"), most = 60;
    for (const k of rows.slice(0, columns.all ? rows.length : most)) {
      const c = D.numbers[k];
      const row = el("tr", { class: k === shownColumn ? "on" : "" },
        el("th", { scope: "row", class: "code" }, el("button", { type: "button", class: "link", onclick: () => showColumn(k) }, c.key)),
        el("td", {}, c.missing ? `${percent(c.missing / N)}` : "0"),
        el("td", {}, count(c.outliers)),
        el("td", {}, c.between === null ? "–" : percent(c.between)),
        el("td", { class: "text code" }, c.partner < 0 ? "–" : `${short(c.correlation)} `, c.partner < 0 ? null : el("small", {}, D.numbers[c.partner].key)));
      body.append(row);
    }
    $("list").replaceChildren(el("table", {}, el("thead", {}, head), body));
    $("found").textContent = `${plural(rows.length, "column")}${rows.length > most && !columns.all ? `, ${most} shown` : ""}`;
    $("every").hidden = columns.all || rows.length <= most;
  }
  function showColumn(k) {
    shownColumn = k;
    for (const row of document.querySelectorAll("#list tr.on")) row.classList.remove("on");
    const c = D.numbers[k], node = $("column");
    node.replaceChildren(el("h3", { class: "code" }, c.key), c.meaning ? el("p", { class: "note" }, c.meaning) : "",
      el("p", { class: "note" }, `${c.unit && c.unit !== "1" ? `In ${c.unit}. ` : ""}${c.missing ? `${plural(c.missing, "cell")} without a value. ` : ""}${plural(c.outliers, "outlier")}.`));
    const groups = CLASSES.length ? CLASSES.map((name, j) => [name, colourOf(j), (i) => labelOf(i) === name]) : [["all cells", css("--data"), () => true]];
    if (groups.length > 1) node.append(ridges(k, groups));
    else node.append(histogram(k, groups, 120));
    node.append(el("div", { class: "tools" },
      el("button", { type: "button", onclick: () => (colourBy(`n${k}`), tab("map")) }, "Colour the map"),
      el("button", { type: "button", onclick: () => extremes(k, -1) }, "Lowest cells"),
      el("button", { type: "button", onclick: () => extremes(k, 1) }, "Highest cells"),
      el("button", { type: "button", disabled: !c.missing, onclick: () => lacking(k) }, "Cells without a value")), el("div", { id: "extremes" }));
    if (window.innerWidth < 1000) node.scrollIntoView({ block: "nearest" });
  }
  // Classes below each other, each with its median and quartiles.
  function ridges(k, groups) {
    const values = column(k), c = D.numbers[k], known = values.filter((v) => v !== MISSING).sort();
    const low = known[Math.floor(known.length * 0.002)] ?? 0, high = known[Math.ceil(known.length * 0.998) - 1] ?? 1;
    const row = 40, left = 150, wide = 560, BINS = 60, tall = groups.length * row;
    const x = (code) => left + (high > low ? Math.min(1, Math.max(0, (code - low) / (high - low))) : 0.5) * (wide - left - 8);
    const out = svg("svg", { viewBox: `0 0 ${wide} ${tall + 18}`, class: "histogram", role: "img", "aria-label": `Distribution of ${c.title} by class` });
    const text = (px, py, anchor, value) => {
      const node = svg("text", { x: px, y: py, "text-anchor": anchor });
      node.textContent = value;
      return node;
    };
    groups.forEach(([name, colour, member], g) => {
      const own = [], base = (g + 1) * row - 6;
      for (let i = 0; i < N; i++) if (values[i] !== MISSING && member(i)) own.push(values[i]);
      own.sort((a, b) => a - b);
      const bins = new Float64Array(BINS + 2);
      for (const v of own) bins[1 + Math.min(BINS - 1, Math.max(0, Math.floor(high > low ? ((v - low) / (high - low)) * BINS : BINS / 2)))]++;
      const smooth = [];
      for (let b = 1; b <= BINS; b++) smooth.push((bins[b - 1] + 2 * bins[b] + bins[b + 1]) / 4);
      const top = Math.max(1e-9, ...smooth);
      const points = smooth.map((v, b) => `${left + ((b + 0.5) / BINS) * (wide - left - 8)},${base - (v / top) * (row - 10)}`);
      out.append(text(left - 8, base, "end", name.length > 21 ? `${name.slice(0, 20)}…` : name),
        svg("path", { d: `M${points[0].split(",")[0]},${base}L${points.join("L")}L${points[BINS - 1].split(",")[0]},${base}Z`, fill: colour, "fill-opacity": 0.3, stroke: colour, "stroke-width": 1.4 }, svg("title", {}, name)));
      if (!own.length) return;
      const q = (p) => own[Math.min(own.length - 1, Math.floor(p * own.length))];
      out.append(svg("line", { x1: x(q(0.25)), x2: x(q(0.75)), y1: base, y2: base, class: "quartiles" }), svg("circle", { cx: x(q(0.5)), cy: base, r: 3.5, class: "median" }));
    });
    const real = (code) => (c.low === null ? NaN : c.low + ((c.high - c.low) * code) / (MISSING - 1));
    out.append(text(left, tall + 12, "start", short(real(low))), text(wide - 8, tall + 12, "end", short(real(high)) + unitOf(k)));
    return out;
  }
  const extremes = (k, sign) => {
    const values = column(k), cells = [];
    for (let i = 0; i < N; i++) if (values[i] !== MISSING) cells.push(i);
    cells.sort((a, b) => sign * (values[b] - values[a]) || a - b);
    gallery($("extremes"), cells.slice(0, 96), (i) => tile(i, [short(number(k, i)) + unitOf(k)]), 24);
  };
  const lacking = (k) => {
    const values = column(k), cells = [];
    for (let i = 0; i < N; i++) if (values[i] === MISSING) cells.push(i);
    gallery($("extremes"), cells.slice(0, 480), (i) => tile(i), 24);
  };
  function quality() {
    $("n-alike").textContent = D.n_alike[0]
      ? `${D.n_alike[1]} columns form ${plural(D.n_alike[0], "group")} of columns that repeat each other.`
      : "No columns repeat each other.";
    $("alike").replaceChildren(...D.alike.map((group) => el("li", {}, el("details", {}, el("summary", {}, `${group.length}: `, el("code", {}, D.numbers[group[0]].key)), ...group.map((k) => el("div", {}, el("button", { type: "button", class: "link code", onclick: () => showColumn(k) }, D.numbers[k].key)))))));
    $("patterns").replaceChildren(...D.patterns.map(([keys, nColumns, nCells, cells]) => {
      const body = el("div"), box = el("details", {}, el("summary", {}, `${plural(nCells, "cell")} (${percent(nCells / N)}) without ${nColumns === 1 ? "" : `${plural(nColumns, "column")}, such as `}`, el("code", {}, D.numbers[keys[0]].key)), body);
      box.addEventListener("toggle", () => box.open && !body.childElementCount && gallery(body, cells, (i) => tile(i)));
      return el("li", {}, box);
    }));
    if (!D.patterns.length) $("patterns").replaceChildren(el("li", {}, "Every cell has a value in every column."));
    gallery($("outlying"), D.outlying, ([i, share, why]) => tile(i, [`in ${percent(share)} of the columns`, ...why.slice(0, 1).map((k) => D.numbers[k].key.split("__").slice(1).join(" "))]), 24);
  }

  // --- Classes and labels -------------------------------------------------------------------

  function classes() {
    $("galleries").replaceChildren(...D.galleries.map(([name, n, near, far]) => {
      const typical = el("div"), unusual = el("div");
      gallery(typical, near, (i) => tile(i));
      gallery(unusual, far, (i) => tile(i));
      return el("section", {}, el("h2", {}, name, " ", el("small", { class: "note" }, plural(n, "cell"))), el("h3", {}, "Typical"), typical, el("h3", {}, "Unusual"), unusual);
    }));
  }
  function labels() {
    if (!$("doubts")) return;
    const all = $("beyond").checked, pair = $("pair").value;
    const pairOf = (d) => `${labelOf(d[0])} → ${CLASSES[d[1]] ?? "?"}`;
    const listed = D.doubts.filter((d) => (all || d[7]) && (!pair || pairOf(d) === pair));
    if (!labels.ready) {
      labels.ready = true;
      const pairs = new Map();
      for (const d of D.doubts) if (d[7]) pairs.set(pairOf(d), (pairs.get(pairOf(d)) || 0) + 1);
      for (const [name, n] of [...pairs].sort((a, b) => b[1] - a[1])) $("pair").append(el("option", { value: name }, `${name} (${n})`));
    }
    $("n-doubts").textContent = `${plural(listed.length, "label")}${all && D.doubts.length === 1000 ? ", the most suspicious first" : ""}`;
    gallery($("doubts"), listed, (d) => {
      const [i] = d, name = CLASSES[d[1]];
      const buttons = el("div", { class: "tools" },
        name ? el("button", { type: "button", onclick: () => edit([i], "relabel", name) }, `→ ${name}`) : null,
        el("button", { type: "button", onclick: () => edit([i], "exclude") }, "Leave out"),
        el("button", { type: "button", onclick: () => edit([i], "none") }, "Undo"));
      return tile(i, [`${name ?? "another"}?`, ...evidence(d)], buttons);
    }, 24);
  }

  // --- The page -----------------------------------------------------------------------------

  const made = { columns: () => (columns(), quality(), showColumn(Math.max(D.first, firstColumn()))), classes, labels };
  const firstColumn = () => {
    let best = D.first;
    D.numbers.forEach((c, k) => k >= D.first && (c.between ?? 0) > (D.numbers[best].between ?? 0) && (best = k));
    return best;
  };
  function tab(name) {
    if (!$(`tab-${name}`)) name = "map";
    for (const node of document.querySelectorAll("[id^=tab-]")) node.classList.toggle("on", node.id === `tab-${name}`);
    for (const link of document.querySelectorAll("nav a")) {
      if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (made[name]) {
      made[name]();
      delete made[name];
    }
    if (location.hash !== `#${name}`) history.replaceState(null, "", `#${name}`);
    if (name === "map") resize();
    window.scrollTo(0, 0);
  }
  function resize() {
    const box = $("plot").getBoundingClientRect();
    if (!box.width) return;
    [width, height] = [box.width, box.height];
    for (const node of [canvas, over, $("axes")]) [node.width, node.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (view) {
      fit();
      drawNow();
    }
  }
  document.querySelectorAll("nav a").forEach((link) => link.addEventListener("click", (event) => {
    event.preventDefault();
    tab(link.hash.slice(1));
  }));
  window.addEventListener("hashchange", () => tab(location.hash.slice(1)));
  window.addEventListener("resize", resize);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (paint(), showSelection()));
  colourSelect.addEventListener("change", () => (paint(), selection.length && showSelection()));
  acrossSelect.addEventListener("change", place);
  upSelect.addEventListener("change", place);
  for (const button of document.querySelectorAll("[data-tool]")) button.addEventListener("click", () => setTool(button.dataset.tool));
  $("in").addEventListener("click", () => zoomAt(width / 2, height / 2, 1.5));
  $("out").addEventListener("click", () => zoomAt(width / 2, height / 2, 1 / 1.5));
  $("whole").addEventListener("click", whole);
  $("clear").addEventListener("click", () => pick([]));
  $("outlines").addEventListener("change", () => document.querySelectorAll("canvas.cell").forEach((c) => drawCell(c, Number(c.dataset.cell))));
  $("save").addEventListener("click", save);
  $("forget").addEventListener("click", () => window.confirm("Forget all edits?") && edit([...EDITS.keys()], "none"));
  $("find")?.addEventListener("input", () => ((columns.all = false), columns()));
  $("every")?.addEventListener("click", () => ((columns.all = true), columns()));
  $("beyond")?.addEventListener("change", labels);
  $("pair")?.addEventListener("change", labels);
  $("close").addEventListener("click", () => $("dialog").close());
  $("dialog").addEventListener("click", (event) => event.target === $("dialog") && $("dialog").close());
  if (D.numbers.length > D.first + 1) upSelect.value = `n${D.first + 1}`;
  setTool("move");
  showEdits();
  resize();
  place();
  paint();
  tab(location.hash.slice(1) || "map");
  document.documentElement.dataset.ready = "yes";

  // For tests of this page in a browser.
  window.hemafeat = { D, pick, choose, edit, csv, tab, colourBy, place: (a, b) => ((acrossSelect.value = a), b && (upSelect.value = b), place()), drawNow, nearest, at: (i) => [toX(X[i]), toY(Y[i])], state: () => ({ selection, chosen, hovered, ms: drawNow.ms, radius }) };
})();
