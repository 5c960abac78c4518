// Charts: drawn by Plotly, which is fetched when the first of them is wanted.

import { address, get } from "./api.js";
import { fill, h } from "./dom.js";
import { onTheme, theme } from "./theme.js";

let script = null;

/** Fetch Plotly once; it comes from the package that is installed beside Airflow. */
function plotly() {
  script ??= new Promise((resolve, reject) => {
    const element = h("script", { src: address("plotly.js") });
    element.addEventListener("load", () => resolve(window.Plotly));
    element.addEventListener("error", () => reject(new Error("Plotly could not be loaded.")));
    document.head.append(element);
  });
  return script;
}

const CONFIG = {
  responsive: true,
  displaylogo: false,
  modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
};

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Return the template that gives a figure this page's colours. */
function template() {
  const axis = {
    gridcolor: colour("--line"),
    zerolinecolor: colour("--line"),
    linecolor: colour("--line"),
    automargin: true,
  };
  const scene = { ...axis, backgroundcolor: "rgba(0,0,0,0)", color: colour("--text") };
  return {
    layout: {
      // Not transparent: lines of parallel coordinates are drawn over white then.
      paper_bgcolor: colour("--card"),
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("--text"), family: "inherit", size: 12 },
      colorway: ["#3b82f6", "#e0a100", "#2f9e62", "#d64545", "#8b7cf6", "#d9622b", "#12a5b8"],
      xaxis: axis,
      yaxis: axis,
      scene: { xaxis: scene, yaxis: scene, zaxis: scene },
      hoverlabel: {
        bgcolor: colour("--card"),
        bordercolor: colour("--line"),
        font: { color: colour("--text") },
      },
      legend: { orientation: "h", y: 1.12, x: 0 },
    },
  };
}

// How tall each chart is, in pixels; those that have rows of their own grow.
const HEIGHTS = {
  parallel: 420,
  slice: 380,
  contour: 440,
  importance: 440,
  rungs: 420,
  timeline: 360,
};

// Optuna's best is the darkest blue, which nobody sees on dark: there it is the brightest.
const BRIGHT = [
  [0, "#263a57"],
  [0.5, "#3f7fd0"],
  [1, "#c4e2ff"],
];

function isBlue(text) {
  const [red, , blue] = (String(text).match(/[\d.]+/g) ?? []).map(Number);
  return blue > red;
}

/** Return the bright colour that stands for one of Optuna's blues. */
function bright(text) {
  const [red] = text.match(/[\d.]+/g).map(Number);
  const share = Math.min(1, Math.max(0, 1 - (red - 8) / 239));
  const mix = (from, to) => Math.round(from + (to - from) * share);
  return `rgb(${mix(38, 196)},${mix(58, 226)},${mix(87, 255)})`;
}

/** Turn scales of blues round, for dark grounds. */
function brighten(trace) {
  for (const part of [trace, trace.marker]) {
    const scale = part?.colorscale;
    if (Array.isArray(scale) && isBlue(scale.at(-1)[1])) part.colorscale = BRIGHT;
  }
  if (trace.showlegend === false && /^rgb/.test(trace.line?.color) && isBlue(trace.line.color)) {
    trace.line.color = bright(trace.line.color);
  }
}

/** One chart in a card of its own. */
export class Chart {
  constructor({ name, title }, studyName) {
    this.name = name;
    this.study = studyName;
    this.query = {};
    this.data = null;
    this.plot = h("div", { class: "plot", role: "img", "aria-label": title });
    this.plot.style.height = `${HEIGHTS[name] ?? 370}px`;
    this.note = h("p", { class: "quiet small" });
    this.controls = h("div", { class: "controls" });
    this.element = h(
      "section",
      { class: "card chart", "data-chart": name },
      h("div", { class: "cardhead" }, h("h2", {}, title), this.controls),
      this.plot,
      this.note,
    );
    onTheme(() => this.data && this.element.isConnected && this.paint());
  }

  /** Add a choice; *pick* makes the query of what is chosen. */
  choose(label, options, pick, { selected = 0 } = {}) {
    const select = h(
      "select",
      {
        "aria-label": label,
        on: {
          change: () => {
            Object.assign(this.query, pick(select.value));
            this.update().catch(() => {});
          },
        },
      },
      options.map((option, place) =>
        h("option", { value: option.value, selected: place === selected }, option.text),
      ),
    );
    this.controls.append(h("label", { class: "small" }, label, " ", select));
    return select;
  }

  async update() {
    const asked = JSON.stringify(this.query);
    this.element.setAttribute("aria-busy", "true");
    try {
      const data = await get(`api/chart/${this.name}`, { study: this.study, ...this.query });
      // Another choice may have been made meanwhile.
      if (data === this.data || asked !== JSON.stringify(this.query)) return;
      this.data = data;
      await this.paint();
    } catch (error) {
      this.note.textContent = error.message;
    } finally {
      this.element.removeAttribute("aria-busy");
    }
  }

  async paint() {
    const { data, layout, note } = this.data;
    this.note.textContent = note ?? "";
    this.plot.hidden = !data.length;
    if (!data.length) return;
    const Plotly = await plotly();
    if (this.name === "timeline") {
      const lanes = 1 + Math.max(...data.flatMap((trace) => trace.y));
      this.plot.style.height = `${Math.min(900, Math.max(220, 120 + lanes * 30))}px`;
    }
    // The plot's own copy: Plotly writes into what it draws.
    const figure = structuredClone({ data, layout });
    const margin = {
      l: 56,
      r: 24,
      t: 28,
      b: 48,
      ...(this.name === "parallel" ? { l: 90, r: 40, t: 60 } : {}),
    };
    for (const trace of figure.data) this.tint(trace);
    await Plotly.react(
      this.plot,
      figure.data,
      {
        ...figure.layout,
        template: template(),
        margin,
        autosize: true,
        uirevision: "kept",
        height: undefined,
        width: undefined,
      },
      CONFIG,
    );
  }

  /** Set in this page's colours what Optuna sets in its own. */
  tint(trace) {
    if (theme() === "dark") brighten(trace);
    const bar = trace.marker?.colorbar ?? trace.colorbar;
    if (bar) Object.assign(bar, { thickness: 12, len: 0.95 });
    if (trace.marker?.showscale && this.plot.clientWidth < 480) trace.marker.showscale = false;
    if (trace.marker?.line?.color === "Grey") trace.marker.line.color = colour("--line");
    if (trace.line?.color === "black" || trace.marker?.color === "black") {
      const text = colour("--text");
      if (trace.line?.color === "black") trace.line.color = text;
      if (trace.marker?.color === "black") trace.marker.color = text;
    }
  }
}

/** Return a card that says what to install where there is no Plotly. */
export function missing(command) {
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "Charts"),
    h("p", {}, "Charts need Plotly, which is not installed beside Airflow's api-server:"),
    h("pre", { class: "code" }, command),
  );
}

/** Return where charts go, filled. */
export function grid(charts) {
  return fill(
    h("div", { class: "grid" }),
    charts.map((chart) => chart.element),
  );
}
