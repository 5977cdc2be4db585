"use strict";
// Cells, particles and outlines come as columns; what is drawn of them follows from the controls.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const view = at("view");

  // --- columns ------------------------------------------------------------------------------

  const KINDS = { f4: Float32Array, u4: Uint32Array, i4: Int32Array, u8: BigUint64Array };
  const column = ([kind, text]) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new KINDS[kind](bytes.buffer);
  };
  const columns = (packed) => {
    const found = {};
    for (const [name, value] of Object.entries(packed)) found[name] = column(value);
    return found;
  };
  const outline = column(data.outline);
  const events = data.events.map((event) => ({
    ...event,
    cells: columns(event.cells),
    deposits: columns(event.deposits),
    shapes: column(event.shapes),
    particles: event.particles.map((one) => ({ ...one, way: column(one.way) })),
  }));

  // --- words --------------------------------------------------------------------------------

  // Plotly reads a little HTML in its texts: names from files are not to be that.
  const plain = (text) =>
    String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const digits = (value) => Number(value.toPrecision(3)).toString();
  const energyText = (gev) => {
    if (!(gev > 0)) return "0";
    if (gev >= 1000) return `${digits(gev / 1000)} TeV`;
    if (gev >= 1) return `${digits(gev)} GeV`;
    if (gev >= 1e-3) return `${digits(gev * 1e3)} MeV`;
    if (gev >= 1e-6) return `${digits(gev * 1e6)} keV`;
    return `${digits(gev * 1e9)} eV`;
  };
  const timeText = (ns) => (Number.isFinite(ns) ? `${Number(ns.toPrecision(4))} ns` : "time unknown");
  const idText = (collection, id) => {
    if (!collection.fields.length) return "";
    const values = collection.fields.map(([name, offset, width, signed]) => {
      const value = BigInt.asUintN(width, id >> BigInt(offset));
      return `${name} ${signed ? BigInt.asIntN(width, value) : value}`;
    });
    return values.join(", ");
  };
  const NOBODY = "not said by the file";

  // --- colours ------------------------------------------------------------------------------

  const HEAT = [
    [0, "#fcd34d"], [0.25, "#f59e0b"], [0.5, "#ea580c"], [0.75, "#b91c1c"], [1, "#4a0404"],
  ];
  const AGE = [[0, "#0c2c84"], [0.35, "#1d91c0"], [0.7, "#7fcdbb"], [1, "#e9c46a"]];
  const PALETTE = [
    "#0969da", "#cf222e", "#1a7f37", "#8250df", "#bc4c00", "#0e7490", "#bf3989", "#6e7781",
    "#4d2d00", "#7c8b00",
  ];
  const CLASSES = 5;
  const OPACITY = [0.25, 0.45, 0.65, 0.85, 1];
  // Of a cell with so many corners in front, and as many behind in the same order.
  const trianglesOf = (front) => {
    const found = [];
    for (let v = 1; v < front - 1; v++) {
      found.push([0, v, v + 1], [front, front + v + 1, front + v]);
    }
    for (let v = 0; v < front; v++) {
      const next = (v + 1) % front;
      found.push([v, front + next, next], [v, front + v, front + next]);
    }
    return found;
  };
  const edgesOf = (front) => {
    const around = Array.from({ length: front }, (_, v) => v);
    const behind = around.map((v) => front + v);
    return [
      ...around, 0, ...behind, front, ...around.slice(1).flatMap((v) => [null, v, front + v]),
    ];
  };
  const MANY = 30000; // cells that are drawn as solids to begin with, at most: turned as fast as points
  const EDGED = 1500; // and with their edges

  const wayOf = (one, number) => {
    const { color, dash } = usualWay(one);
    // Where colours are the particles', those of their ways are, too.
    return { color: at("colour").value === "particle" ? PALETTE[number % PALETTE.length] : color, dash };
  };
  const usualWay = (one) => {
    if (one.pdg === 22) return { color: "#0969da", dash: "dash" };
    if (one.pdg === 11) return { color: "#1a7f37", dash: "solid" };
    if (one.pdg === -11) return { color: "#bf3989", dash: "solid" };
    if (Math.abs(one.pdg) === 13) return { color: "#8250df", dash: "solid" };
    return one.charge ? { color: "#57606a", dash: "solid" } : { color: "#8c959f", dash: "dot" };
  };

  // --- state --------------------------------------------------------------------------------

  let event = events[0];
  let scale = null; // of the sliders: energies and times of this event
  let near = false;
  let camera = null;

  const sorted = (values) => Float64Array.from(values).sort();
  const quantile = (values, share) => {
    if (!values.length) return NaN;
    const place = share * (values.length - 1), low = Math.floor(place);
    const high = Math.min(low + 1, values.length - 1);
    return values[low] + (place - low) * (values[high] - values[low]);
  };

  const scalesOf = (one) => {
    const times = sorted([...one.deposits.time].filter(Number.isFinite));
    let low = Infinity, high = 0;
    for (const energy of one.cells.energy) {
      low = Math.min(low, energy);
      high = Math.max(high, energy);
    }
    // Single electrons in a full simulation leave eV; colours are for what can be measured.
    return { times, low: Math.max(low, high * 1e-5), high };
  };
  const threshold = () => {
    const share = Number(at("threshold").value) / 200;
    return share ? scale.low * (scale.high / scale.low) ** share : 0;
  };
  // Half of the deposits lie in the middle of the slider, however late the last ones are.
  const timeAt = (id) => {
    const value = quantile(scale.times, Number(at(id).value) / 200);
    return id === "start" ? Math.floor(value * 1000) / 1000 : Math.ceil(value * 1000) / 1000;
  };
  const checked = (id) =>
    new Set(
      [...at(id).querySelectorAll("input:checked")].map((input) => Number(input.value)),
    );

  /** Cells that are shown, with their energy in the chosen deposits. */
  const chosen = () => {
    const { cells, deposits } = event;
    const particles = checked("particles"), collections = checked("collections");
    const from = timeAt("start"), to = timeAt("stop");
    const whole = at("start").value === "0" && at("stop").value === "200";
    const count = cells.energy.length;
    const energy = new Float64Array(count), time = new Float64Array(count).fill(Infinity);
    const most = new Float64Array(count), owner = new Int32Array(count).fill(-1);
    for (let d = 0; d < deposits.cell.length; d++) {
      const t = deposits.time[d];
      if (!particles.has(deposits.particle[d])) continue;
      if (!whole && (t < from || t > to)) continue; // an unknown time is in each window
      const cell = deposits.cell[d];
      energy[cell] += deposits.energy[d];
      if (t < time[cell]) time[cell] = t;
      if (deposits.energy[d] > most[cell]) {
        most[cell] = deposits.energy[d];
        owner[cell] = deposits.particle[d];
      }
    }
    const least = threshold(), rows = [];
    let sum = 0;
    for (let c = 0; c < count; c++) {
      if (energy[c] > 0 && energy[c] >= least && collections.has(cells.collection[c])) {
        rows.push(c);
        sum += energy[c];
      }
    }
    return { rows, energy, time, owner, sum };
  };

  // --- traces -------------------------------------------------------------------------------

  const valueOf = (shown) => {
    const mode = at("colour").value;
    if (mode === "log") return (c) => Math.log10(shown.energy[c]);
    if (mode === "linear") return (c) => shown.energy[c] * 1e3;
    if (mode === "time")
      return (c) => (Number.isFinite(shown.time[c]) ? shown.time[c] : quantile(scale.times, 1));
    return (c) => (shown.owner[c] < 0 ? 0 : 1 + (shown.owner[c] % PALETTE.length));
  };

  const isWide = () => view.clientWidth > 620;

  const colouraxis = () => {
    const mode = at("colour").value, wide = isWide();
    const bar = wide
      ? { thickness: 14, len: 0.7, x: 1, xanchor: "right", title: { side: "right" } }
      : { thickness: 12, len: 0.9, orientation: "h", y: 0, yanchor: "bottom", title: { side: "top" } };
    bar.tickfont = { size: 14 };
    bar.title.font = { size: 15 };
    bar.outlinewidth = 0;
    const axis = { colorscale: HEAT, colorbar: bar };
    if (mode === "log") {
      const low = Math.log10(scale.low), high = Math.log10(scale.high);
      const ticks = [], steps = high - low > (wide ? 3.2 : 1.6) ? [1] : [1, 2, 5];
      for (let decade = Math.floor(low); decade <= high; decade++)
        for (const step of steps) ticks.push(decade + Math.log10(step));
      bar.tickvals = ticks.filter((tick) => tick >= low - 1e-9 && tick <= high + 1e-9);
      bar.ticktext = bar.tickvals.map((tick) => energyText(10 ** tick));
      bar.title.text = "Energy of a cell";
      return { ...axis, cmin: low, cmax: Math.max(high, low + 0.1) };
    }
    if (mode === "linear") {
      bar.title.text = "Energy of a cell [MeV]";
      return { ...axis, cmin: 0, cmax: scale.high * 1e3 };
    }
    if (mode === "time") {
      bar.title.text = "Time [ns]";
      const low = quantile(scale.times, 0), high = quantile(scale.times, 0.98);
      return { ...axis, colorscale: AGE, cmin: low, cmax: Math.max(high, low + 0.01) };
    }
    const steps = ["#8c959f", ...PALETTE], count = steps.length;
    const scaleOf = steps.flatMap((colour, i) => [[i / count, colour], [(i + 1) / count, colour]]);
    return { ...axis, colorscale: scaleOf, cmin: -0.5, cmax: count - 0.5, showscale: false };
  };

  const labelOf = (shown) => (c) => {
    const { cells, particles } = event;
    const collection = data.collections[cells.collection[c]];
    const one = particles[shown.owner[c]];
    const lines = [
      `<b>${plain(energyText(shown.energy[c]))}</b>, ${timeText(shown.time[c])}`,
      one ? plain(`${one.name}, ${energyText(one.energy)}`) : NOBODY,
      `${plain(collection.name)}`,
      plain(idText(collection, cells.id[c])),
      `cell ID ${cells.id[c]}`,
    ];
    return lines.filter((line) => line).join("<br>");
  };

  /** Limits in x, y and z of where nearly all of the energy is. */
  const range = (shown) => {
    const { x, y, z } = event.cells;
    const limits = [x, y, z].map((values) => {
      const order = [...shown.rows].sort((a, b) => values[a] - values[b]);
      let below = 0;
      const inside = order.filter((c) => {
        below += shown.energy[c];
        return below > 0.003 * shown.sum && below - shown.energy[c] < 0.997 * shown.sum;
      });
      return [values[inside[0]], values[inside[inside.length - 1]]];
    });
    const least = Math.max(...limits.map(([low, high]) => high - low), 100) / 4;
    return limits.map(([low, high]) => {
      const more = Math.max(0.15 * (high - low), (least - (high - low)) / 2, 10);
      return [low - more, high + more];
    });
  };

  const corner = (c, number, axis) => {
    const { cells, shapes } = event;
    const centre = axis === 0 ? cells.x[c] : axis === 1 ? cells.y[c] : cells.z[c];
    return centre + shapes[(cells.shape[c] * event.corners + number) * 3 + axis];
  };

  const meshes = (rows, value, label) => {
    const low = Math.log10(scale.low), high = Math.log10(scale.high);
    const classes = Array.from({ length: CLASSES }, () => []);
    for (const c of rows) {
      const share = high > low ? (Math.log10(event.cells.energy[c]) - low) / (high - low) : 1;
      classes[Math.min(CLASSES - 1, Math.max(0, Math.floor(share * CLASSES)))].push(c);
    }
    const corners = event.corners, triangles = trianglesOf(corners / 2);
    return classes.map((mine, number) => {
      const n = mine.length, m = corners * n, sides = triangles.length * n;
      const x = new Float32Array(m), y = new Float32Array(m), z = new Float32Array(m);
      const i = new Int32Array(sides), j = new Int32Array(sides), k = new Int32Array(sides);
      const intensity = new Float32Array(m), hovertext = new Array(m);
      mine.forEach((c, place) => {
        const shade = value(c), text = label(c);
        for (let v = 0; v < corners; v++) {
          const row = corners * place + v;
          x[row] = corner(c, v, 0);
          y[row] = corner(c, v, 1);
          z[row] = corner(c, v, 2);
          intensity[row] = shade;
          hovertext[row] = text;
        }
        triangles.forEach(([a, b, d], t) => {
          const row = triangles.length * place + t;
          i[row] = corners * place + a;
          j[row] = corners * place + b;
          k[row] = corners * place + d;
        });
      });
      return {
        type: "mesh3d", name: `solids ${number}`, x, y, z, i, j, k, intensity, hovertext,
        hoverinfo: "text", coloraxis: "coloraxis", opacity: OPACITY[number], flatshading: true,
        lighting: { ambient: 0.88, diffuse: 0.3, specular: 0.05, roughness: 0.9, fresnel: 0.05 },
        lightposition: { x: 2000, y: 6000, z: 4000 }, visible: n > 0, showscale: false,
      };
    });
  };

  const edges = (rows) => {
    const x = [], y = [], z = [], ends = edgesOf(event.corners / 2);
    for (const c of rows) {
      for (const number of ends) {
        x.push(number === null ? null : corner(c, number, 0));
        y.push(number === null ? null : corner(c, number, 1));
        z.push(number === null ? null : corner(c, number, 2));
      }
      x.push(null), y.push(null), z.push(null);
    }
    return {
      type: "scatter3d", mode: "lines", name: "edges", x, y, z, hoverinfo: "skip",
      line: { color: "rgba(31, 35, 40, 0.3)", width: 1.2 }, showlegend: false,
      visible: rows.length > 0,
    };
  };

  const points = (rows, value, label, shown) => {
    const { x, y, z } = event.cells;
    const of = (values) => rows.map((c) => values[c]);
    const size = rows.map((c) => 2.5 + 9 * Math.sqrt(shown.energy[c] / scale.high));
    return {
      type: "scatter3d", mode: "markers", name: "points", x: of(x), y: of(y), z: of(z),
      hovertext: rows.map(label), hoverinfo: "text", showlegend: false, visible: rows.length > 0,
      marker: { size, color: rows.map(value), coloraxis: "coloraxis", line: { width: 0 }, opacity: 0.9 },
    };
  };

  const lines = (values, style) => {
    const x = [], y = [], z = [];
    for (let p = 0; p < values.length; p += 3) {
      const there = !Number.isNaN(values[p]);
      x.push(there ? values[p] : null);
      y.push(there ? values[p + 1] : null);
      z.push(there ? values[p + 2] : null);
    }
    return { type: "scatter3d", mode: "lines", x, y, z, showlegend: false, ...style };
  };

  const ways = () => {
    const wanted = checked("particles"), show = at("ways").checked;
    return event.particles
      .map((one, number) => ({ one, number }))
      .filter(({ one, number }) => show && wanted.has(number) && one.way.length > 3)
      .map(({ one, number }) =>
        lines(one.way, {
          name: "way",
          line: { ...wayOf(one, number), width: 4 },
          hoverinfo: "text",
          hovertext: plain(`${one.name}, ${energyText(one.energy)}`),
        }),
      );
  };

  /** Short axes from the middle, with their names. */
  const axes = () => {
    const { x, y, z } = event.cells;
    let far = 0;
    for (const values of [x, y, z, outline])
      for (const value of values) if (Math.abs(value) > far) far = Math.abs(value);
    const size = 0.15 * far, nan = Number.NaN;
    const cross = [0, 0, 0, size, 0, 0, nan, nan, nan, 0, 0, 0, 0, size, 0, nan, nan, nan, 0, 0, 0, 0, 0, size];
    const style = { name: "axes", hoverinfo: "skip", visible: !near };
    const ends = [1.15 * size, 0, 0, 0, 1.15 * size, 0, 0, 0, 1.15 * size];
    return [
      lines(cross, { ...style, line: { color: "#8c959f", width: 2 } }),
      lines(ends, { ...style, mode: "text", text: ["x", "y", "z"], textfont: { size: 14, color: "#59636e" } }),
    ];
  };

  // --- drawing ------------------------------------------------------------------------------

  const CAMERAS = {
    space: { eye: { x: 1.18, y: 0.45, z: 1.0 }, up: { x: 0, y: 1, z: 0 }, center: { x: 0, y: 0, z: 0 } },
    beam: { eye: { x: 0, y: 0, z: 1.7 }, up: { x: 0, y: 1, z: 0 }, center: { x: 0, y: 0, z: 0 } },
    side: { eye: { x: -1.7, y: 0, z: 0 }, up: { x: 0, y: 1, z: 0 }, center: { x: 0, y: 0, z: 0 } },
  };

  const draw = () => {
    const shown = chosen();
    const value = valueOf(shown), label = labelOf(shown);
    const { cells } = event;
    const solid = at("form").value === "solids";
    const known = solid ? shown.rows.filter((c) => cells.shape[c] >= 0) : [];
    const others = solid ? shown.rows.filter((c) => cells.shape[c] < 0) : shown.rows;
    const traces = [
      lines(outline, {
        name: "outline", hoverinfo: "skip", visible: at("outline").checked && outline.length > 0,
        line: { color: "#b1bac4", width: 2 },
      }),
      ...meshes(known, value, label),
      edges(known.length <= EDGED ? known : []),
      points(others, value, label, shown),
      ...ways(),
      ...axes(),
    ];
    const wide = isWide();
    const hidden = { visible: false, showspikes: false };
    const [x, y, z] = near && shown.rows.length ? range(shown) : [null, null, null];
    const axis = (limits) =>
      limits ? { ...hidden, range: limits, autorange: false } : { ...hidden, autorange: true };
    const layout = {
      margin: { l: 0, r: 0, t: 0, b: 0 },
      paper_bgcolor: "#fff",
      font: { family: "system-ui, sans-serif", size: 14, color: "#1f2328" },
      hoverlabel: { align: "left", bgcolor: "#fff", bordercolor: "#59636e", font: { size: 14, color: "#1f2328" } },
      coloraxis: colouraxis(),
      scene: {
        domain: wide ? { x: [0, 0.9], y: [0, 1] } : { x: [0, 1], y: [0.12, 1] },
        aspectmode: "data", xaxis: axis(x), yaxis: axis(y), zaxis: axis(z),
        camera: camera ?? placed("space"), dragmode: "orbit",
      },
      uirevision: "view",
    };
    const config = {
      responsive: true, displaylogo: false, scrollZoom: true,
      modeBarButtons: [["toImage"]],
      toImageButtonOptions: { filename: `event${event.entry}`, scale: 2 },
    };
    at("above").textContent = energyText(threshold()) === "0" ? "0 MeV" : energyText(threshold());
    at("from").textContent = timeText(timeAt("start"));
    at("to").textContent = timeText(timeAt("stop"));
    at("shown").textContent =
      `${shown.rows.length} of ${cells.energy.length} cells shown, ` +
      `${energyText(shown.sum)} of ${energyText(event.sum)}`;
    colourParticles();
    return Plotly.react(view, traces, layout, config);
  };

  let waiting = 0;
  const redraw = () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(draw);
  };

  /** A camera that is farther away where the picture is narrow. */
  const placed = (name) => {
    const far = Math.max(1, (0.95 * view.clientHeight) / Math.max(view.clientWidth, 1));
    return zoomed(structuredClone(CAMERAS[name]), far);
  };

  const moveCamera = (to) => {
    camera = to;
    return Plotly.relayout(view, { "scene.camera": to });
  };
  const cameraNow = () => view.layout?.scene?.camera ?? camera ?? placed("space");

  // --- page ---------------------------------------------------------------------------------

  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== undefined && text !== null) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  const box = (value, ...parts) => {
    const label = element("label");
    const input = element("input", null, { type: "checkbox", value });
    input.checked = true;
    label.append(input, ...parts);
    return label;
  };

  const listParticles = () => {
    const list = at("particles");
    list.replaceChildren();
    event.particles.forEach((one, number) => {
      const line = element("span", null, { class: "line", "aria-hidden": "true" });
      const text = element("span", `${one.name} ${energyText(one.energy)}`);
      const what = one.deposited > 0 ? `leaves ${energyText(one.deposited)}` : one.handedOn ? "not simulated" : "no deposits";
      text.append(" ", element("span", what, { class: "quiet" }));
      list.append(box(number, line, text));
    });
    if (event.unknown > 0) {
      const text = element("span", "others ");
      text.append(element("span", `${energyText(event.unknown)}, whose is ${NOBODY}`, { class: "quiet" }));
      list.append(box(-1, text));
    }
  };

  const colourParticles = () =>
    at("particles").querySelectorAll(".line").forEach((line, number) => {
      const { color, dash } = wayOf(event.particles[number], number);
      line.style.borderTopColor = color;
      line.style.borderTopStyle = { solid: "solid", dash: "dashed", dot: "dotted" }[dash];
    });

  const listCollections = () => {
    const list = at("collections");
    list.querySelectorAll("label").forEach((label) => label.remove());
    data.collections.forEach((one, number) => {
      const text = element("span", one.name);
      text.append(" ", element("span", one.detector ?? "positions alone", { class: "quiet" }));
      list.append(box(number, text));
    });
    list.hidden = data.collections.length < 2;
  };

  const row = (name, remark, values) => {
    const made = element("tr"), first = element("th", name, { scope: "row" });
    if (remark) first.append(" ", element("span", remark, { class: "quiet" }));
    made.append(first, ...values.map((value) => element("td", value)));
    return made;
  };

  const tabulate = () => {
    const table = at("energies");
    table.replaceChildren();
    const head = element("thead"), body = element("tbody"), foot = element("tfoot");
    const titles = ["particle", "energy", "deposited", "share", "momentum", "theta", "phi"];
    const top = element("tr");
    titles.forEach((title) => top.append(element("th", title, { scope: "col" })));
    head.append(top);
    const percent = (a, b) => (b > 0 ? `${((100 * a) / b).toFixed(1)} %` : "");
    for (const one of event.particles)
      body.append(
        row(one.name, one.handedOn ? "not simulated" : one.deposited > 0 ? "" : "no deposits", [
          energyText(one.energy), energyText(one.deposited), percent(one.deposited, one.energy),
          energyText(one.momentum), `${one.theta.toFixed(1)}°`, `${one.phi.toFixed(1)}°`,
        ]),
      );
    if (event.unknown > 0)
      body.append(row("others", NOBODY, ["", energyText(event.unknown), "", "", "", ""]));
    const total = event.particles.reduce((sum, one) => sum + one.energy, 0);
    foot.append(row("sum", "", [energyText(total), energyText(event.sum), percent(event.sum, total), "", "", ""]));
    table.append(head, body, foot);

    const rest = at("rest");
    rest.replaceChildren();
    const left = event.particles.filter((one) => one.handedOn);
    if (left.length) {
      const energy = left.reduce((sum, one) => sum + one.energy, 0);
      const names = left.map((one) => one.name).join(", ");
      rest.append(
        element("p", `Not simulated here, left to another simulation: ${left.length} (${names}), ${energyText(energy)}.`),
      );
    }
    if (event.fates.length) {
      rest.append(element("h2", "What became of all particles"));
      const list = element("ul");
      for (const [meaning, number, energy] of event.fates)
        list.append(element("li", `${number}, ${energyText(energy)}: ${meaning}`));
      rest.append(list);
    }
    for (const note of event.notes) rest.append(element("p", note));
  };

  const show = (number) => {
    event = events[number];
    scale = scalesOf(event);
    at("event").value = String(number);
    at("earlier").disabled = number === 0;
    at("later").disabled = number === events.length - 1;
    const numbers = event.run === null ? "" : `: run ${event.run}, event ${event.number}`;
    at("title").textContent = `${data.file}, entry ${event.entry}${numbers}`;
    const detectors = [...new Set(data.collections.map((one) => one.detector).filter(Boolean))];
    const names = data.collections.map((one) => one.name).join(", ");
    at("about").textContent =
      `${detectors.length ? detectors.join(", ") : "A detector that is not known here"}. ` +
      `Hits of ${names}: ${event.cells.energy.length} cells, ${energyText(event.sum)}.`;
    at("threshold").value = 0;
    at("start").value = 0;
    at("stop").value = 200;
    at("form").value = event.cells.energy.length > MANY ? "points" : "solids";
    const timed = scale.times.length > 0;
    at("start").disabled = at("stop").disabled = !timed;
    listParticles();
    tabulate();
    return draw();
  };

  at("event").append(
    ...events.map((one, number) =>
      element("option", one.run === null ? `${one.entry}` : `${one.entry}: run ${one.run}, event ${one.number}`, { value: number }),
    ),
  );
  at("events").hidden = events.length < 2;
  at("event").addEventListener("change", () => show(Number(at("event").value)));
  at("earlier").addEventListener("click", () => show(Number(at("event").value) - 1));
  at("later").addEventListener("click", () => show(Number(at("event").value) + 1));
  at("controls").addEventListener("submit", (sent) => sent.preventDefault());
  at("controls").addEventListener("input", (changed) => {
    // The window stays one.
    if (changed.target.id === "start" && Number(at("start").value) > Number(at("stop").value))
      at("stop").value = at("start").value;
    if (changed.target.id === "stop" && Number(at("stop").value) < Number(at("start").value))
      at("start").value = at("stop").value;
    redraw();
  });
  for (const [id, state] of [["all", true], ["none", false]])
    at(id).addEventListener("click", () => {
      at("particles").querySelectorAll("input").forEach((input) => (input.checked = state));
      redraw();
    });
  for (const button of document.querySelectorAll("[data-camera]"))
    button.addEventListener("click", () => moveCamera(placed(button.dataset.camera)));
  at("near").addEventListener("click", () => {
    near = !near;
    at("near").setAttribute("aria-pressed", String(near));
    camera = structuredClone(cameraNow());
    draw();
  });

  const turned = (from, across, up) => {
    const { x, y, z } = from.eye;
    const size = Math.hypot(x, y, z);
    // Around the axis that points up, y, and towards it.
    const azimuth = Math.atan2(x, z) + across;
    const height = Math.max(-1.55, Math.min(1.55, Math.asin(y / size) + up));
    const flat = size * Math.cos(height);
    return { ...from, eye: { x: flat * Math.sin(azimuth), y: size * Math.sin(height), z: flat * Math.cos(azimuth) }, up: { x: 0, y: 1, z: 0 } };
  };
  const zoomed = (from, by) => ({ ...from, eye: { x: from.eye.x * by, y: from.eye.y * by, z: from.eye.z * by } });
  const KEYS = {
    ArrowLeft: (c) => turned(c, -0.1, 0), ArrowRight: (c) => turned(c, 0.1, 0),
    ArrowUp: (c) => turned(c, 0, 0.1), ArrowDown: (c) => turned(c, 0, -0.1),
    "+": (c) => zoomed(c, 0.9), "=": (c) => zoomed(c, 0.9), "-": (c) => zoomed(c, 1 / 0.9),
  };
  view.addEventListener("keydown", (pressed) => {
    const turn = KEYS[pressed.key];
    if (!turn || pressed.ctrlKey || pressed.metaKey || pressed.altKey) return;
    pressed.preventDefault();
    moveCamera(turn(structuredClone(cameraNow())));
  });

  at("outline").parentElement.hidden = !outline.length;
  listCollections();
  show(0).then(() => {
    view.on("plotly_relayout", () => (camera = structuredClone(cameraNow())));
    document.body.dataset.ready = "true";
  });
})();
