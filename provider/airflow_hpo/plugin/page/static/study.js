// One study: its head, and what stands in each tab.

import { address, get } from "./api.js";
import { bestCard, facts, rungTable } from "./cards.js";
import { Chart, grid, missing } from "./charts.js";
import { fill, h } from "./dom.js";
import { settings } from "./settings.js";
import { TrialTable } from "./table.js";

const TABS = [
  { id: "overview", title: "Overview", charts: ["history", "front", "curves"] },
  { id: "parameters", title: "Parameters", charts: ["importance", "contour", "parallel", "slice"] },
  { id: "course", title: "Course", charts: ["timeline", "rungs"] },
  { id: "trials", title: "Trials", charts: [] },
  { id: "settings", title: "Settings", charts: [] },
];

export class StudyPage {
  constructor(root, name, scope) {
    this.name = name;
    this.scope = scope;
    this.top = h("div");
    this.tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Parts of the study" });
    this.panel = h("div", { role: "tabpanel", tabindex: "-1", id: "panel" });
    this.charts = new Map();
    fill(root, this.top, this.tabs, this.panel);
    window.addEventListener("hashchange", () => this.open());
  }

  async update() {
    const data = await get("api/study", { study: this.name });
    const anew = data !== this.data;
    this.data = data;
    if (anew) {
      this.head();
      await this.open();
    }
    return data;
  }

  tab() {
    return TABS.find((tab) => `#${tab.id}` === window.location.hash) ?? TABS[0];
  }

  /** Show the tab that the address names, and bring what is in it up to date. */
  async open() {
    if (!this.data) return;
    const tab = this.tab();
    fill(
      this.tabs,
      TABS.map((each) => this.tabButton(each, each === tab)),
    );
    if (this.shown !== tab.id) {
      this.shown = tab.id;
      this.panel.setAttribute("aria-labelledby", `tab-${tab.id}`);
      this.lay(tab);
    } else {
      this.refresh(tab);
    }
    await Promise.all(this.live(tab).map((part) => part.update()));
  }

  /** The run that the page is about: the tab's own, else the latest. */
  run() {
    const { dag_id: dag, run_id: run } = this.scope;
    return dag && run ? { dag, run } : (this.data.runs[0] ?? null);
  }

  tabButton(tab, selected) {
    const move = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = TABS[(TABS.indexOf(tab) + step + TABS.length) % TABS.length];
      window.location.hash = next.id;
      setTimeout(() => document.getElementById(`tab-${next.id}`)?.focus());
    };
    return h(
      "a",
      {
        role: "tab",
        id: `tab-${tab.id}`,
        href: `#${tab.id}`,
        "aria-selected": String(selected),
        "aria-controls": "panel",
        tabindex: selected ? "0" : "-1",
        on: { keydown: move },
      },
      tab.title,
    );
  }

  live(tab) {
    const drawn = this.data.install ? [] : this.wanted(tab).map((chart) => this.chart(chart));
    return tab.id === "trials" ? [this.table] : drawn;
  }

  wanted(tab) {
    const known = new Map(this.data.charts.map((chart) => [chart.name, chart]));
    return tab.charts.filter((name) => known.has(name)).map((name) => known.get(name));
  }

  lay(tab) {
    this.refreshers = [];
    const parts = [];
    if (tab.id === "overview") parts.push(this.keep(() => bestCard(this.data)));
    if (tab.id === "trials") {
      this.table ??= new TrialTable(this.name, this.data);
      parts.push(this.table.element);
    }
    if (tab.id === "settings") parts.push(this.keep(() => settings(this.data, this.run())));
    if (tab.charts.length)
      parts.push(
        this.data.install
          ? missing(this.data.install)
          : grid(this.wanted(tab).map((chart) => this.chart(chart))),
      );
    if (tab.id === "course" && this.data.rungs.length)
      parts.push(this.keep(() => rungTable(this.data.rungs)));
    fill(this.panel, parts);
    this.laid = this.layout(tab);
  }

  layout(tab) {
    return JSON.stringify([this.wanted(tab), this.data.install, Boolean(this.data.rungs.length)]);
  }

  keep(make) {
    const place = h("div", {}, make());
    this.refreshers.push(() => fill(place, make()));
    return place;
  }

  refresh(tab) {
    if (this.laid !== this.layout(tab)) this.lay(tab);
    else this.refreshers.forEach((refresher) => refresher());
  }

  chart(described) {
    if (!this.charts.has(described.name)) {
      const chart = new Chart(described, this.name);
      offer(chart, this.data);
      this.charts.set(described.name, chart);
    }
    return this.charts.get(described.name);
  }

  head() {
    const { data } = this;
    document.title = `${data.study} – study`;
    const status = data.stop && data.states.running ? "ending" : data.status;
    const back = this.scope.study_only
      ? null
      : h(
          "a",
          {
            class: "back",
            href: address("", { dag_id: this.scope.dag_id, run_id: this.scope.run_id, list: "1" }),
          },
          "‹ Studies",
        );
    fill(
      this.top,
      h(
        "div",
        { class: "title" },
        back,
        h("h1", {}, data.study),
        h("span", { class: `pill ${status}`, id: "status" }, status),
      ),
      data.stop
        ? h("p", { class: "reason", id: "stop" }, h("b", {}, "Ended: "), data.stop.reason)
        : null,
      data.description ? h("p", { class: "quiet" }, data.description) : null,
      h("div", { class: "facts" }, facts(data, this.scope)),
      data.history.map((note) => h("p", { class: "quiet small" }, note)),
    );
  }
}

/** Add what can be chosen of a chart. */
function offer(chart, data) {
  const objectives = data.objectives.map((objective, place) => ({
    value: String(place),
    text: objective.metric,
  }));
  if (objectives.length > 1 && !["front", "timeline", "rungs"].includes(chart.name)) {
    chart.choose("of", objectives, (value) => ({ objective: value }));
  }
  const names = data.tunable.map((name) => ({ value: name, text: name }));
  if (chart.name === "contour" && names.length > 1) {
    const pair = [names[0].value, names[1].value];
    const pick = (place) => (value) => {
      pair[place] = value;
      return { params: pair[0] === pair[1] ? [] : [...pair] };
    };
    chart.choose("over", names, pick(0));
    chart.choose("and", names, pick(1), { selected: 1 });
  }
  if (chart.name === "slice" && names.length > 8) {
    chart.choose("parameters", [{ value: "", text: "the first eight" }, ...names], (value) => ({
      params: value ? [value] : [],
    }));
  }
}
