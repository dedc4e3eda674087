// Draws the figures in the reader's light or dark colours, sorts tables, and unfolds all for print.
(() => {
  "use strict";
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const figures = JSON.parse(byId("figures").textContent);

  // ---- figures

  const AS_IS = new Set(["x", "y", "text", "error_x", "customdata", "hovertemplate"]);

  /** A figure's tree with "@name" colours replaced by the page's CSS variables. */
  function dressed(value, style) {
    if (typeof value === "string") {
      return value.startsWith("@") ? style.getPropertyValue(`--${value.slice(1)}`).trim() : value;
    }
    if (Array.isArray(value)) return value.map((item) => dressed(item, style));
    if (value === null || typeof value !== "object") return value;
    const pairs = Object.entries(value);
    return Object.fromEntries(pairs.map(([key, item]) => [key, AS_IS.has(key) ? item : dressed(item, style)]));
  }

  function layoutOf(figure, style, place) {
    const ink = style.getPropertyValue("--ink").trim();
    const rule = style.getPropertyValue("--rule").trim();
    const own = dressed(figure.layout, style);
    const layout = {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: ink },
      hoverlabel: { align: "left", bgcolor: style.getPropertyValue("--paper").trim(), bordercolor: ink, font: { color: ink } },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
      margin: { l: 62, r: 12, t: 44, b: 52 },
      dragmode: matchMedia("(pointer: fine)").matches ? "zoom" : false,
      autosize: true,
      ...(root.classList.contains("printing") ? { width: place.clientWidth } : {}),
      ...own,
    };
    for (const key of Object.keys(layout).filter((name) => /^[xy]axis/.test(name))) {
      layout[key] = { exponentformat: "none", separatethousands: true, gridcolor: rule, zerolinecolor: rule, linecolor: rule, automargin: true, ...layout[key] };
    }
    return layout;
  }

  const config = {
    displaylogo: false,
    responsive: true,
    modeBarButtons: [["toImage", "resetScale2d"]],
    displayModeBar: matchMedia("(pointer: fine)").matches ? "hover" : false,
  };

  function draw(id) {
    const place = byId(id);
    const style = getComputedStyle(root);
    const traces = dressed(figures[id].data, style);
    return Plotly.react(place, traces, layoutOf(figures[id], style, place), config);
  }

  const drawn = new Set();
  const drawAll = () => Object.keys(figures).forEach((id) => { drawn.add(id); draw(id); });

  /** One figure a frame, those at the top first: the page answers meanwhile. */
  function drawInTurn() {
    const next = Object.keys(figures).find((id) => !drawn.has(id));
    if (next === undefined) {
      root.dataset.drawn = "all";
      return;
    }
    drawn.add(next);
    draw(next);
    setTimeout(drawInTurn);
  }

  // ---- tables

  const NAMES = { none: "ascending", ascending: "descending", descending: "ascending" };

  function compare(one, other) {
    if (typeof one === typeof other) {
      return typeof one === "number" ? one - other : one.localeCompare(other, "en", { numeric: true });
    }
    return typeof one === "number" ? -1 : 1;
  }

  function rowOf(columns, [kind, , texts]) {
    const row = document.createElement("tr");
    row.className = kind;
    texts.forEach((text, place) => {
      const cell = document.createElement(place ? "td" : "th");
      if (!place) cell.scope = "row";
      else if (columns[place].numeric) cell.className = "n";
      else if (columns[place].wide) cell.className = "wide";
      cell.textContent = text;
      row.append(cell);
    });
    return row;
  }

  function sortable(table) {
    const { first, columns, rows } = JSON.parse(byId(`${table.id}-rows`).textContent);
    const more = document.querySelector(`[data-table="${table.id}"]`);
    const state = byId(`${table.id}-state`);
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    const made = new Map();
    let order = rows;
    let all = false;

    function rowFor(row) {
      if (!made.has(row)) made.set(row, rowOf(columns, row));
      return made.get(row);
    }

    function fill() {
      const shown = all ? order : order.filter((row, place) => place < first || row[1]);
      table.tBodies[0].replaceChildren(...shown.map(rowFor));
      more.textContent = all ? `Show the first ${first} rows` : `Show all ${rows.length.toLocaleString("en")} rows`;
    }

    heads.forEach((head, place) => head.querySelector("button").addEventListener("click", () => {
      const direction = NAMES[head.getAttribute("aria-sort")];
      heads.forEach((other) => other.setAttribute("aria-sort", other === head ? direction : "none"));
      const sign = direction === "ascending" ? 1 : -1;
      const known = rows.filter((row) => row[3][place] !== null);
      const unknown = rows.filter((row) => row[3][place] === null);
      known.sort((one, other) => sign * compare(one[3][place], other[3][place]));
      order = [...known, ...unknown];
      fill();
      const button = head.firstElementChild;
      state.textContent = `sorted by ${button.ariaLabel ?? button.textContent}, ${direction}`;
    }));
    more.addEventListener("click", () => { all = !all; fill(); });
    return { expand: () => { if (!all) { all = true; fill(); } }, fold: () => { all = false; fill(); }, isAll: () => all };
  }

  const tables = [...document.querySelectorAll("table.sortable")].map(sortable);

  // ---- light and dark, print

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => [...drawn].forEach(draw));

  let folded = [];
  addEventListener("beforeprint", () => {
    root.classList.add("printing");
    folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach((one) => { one.open = true; });
    tables.forEach((one) => { one.wasAll = one.isAll(); one.expand(); });
    drawAll();
  });
  addEventListener("afterprint", () => {
    root.classList.remove("printing");
    folded.forEach((one) => { one.open = false; });
    tables.forEach((one) => { if (!one.wasAll) one.fold(); });
    drawAll();
  });

  drawInTurn();
})();
