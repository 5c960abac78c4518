// The table of trials: sorted, filtered and paged by the server.

import { address, get } from "./api.js";
import { link, logUrl, taskUrl } from "./airflow.js";
import { fill, h, later } from "./dom.js";
import { duration, heading, moment, shown } from "./format.js";

const STATES = ["complete", "running", "paused", "waiting", "pruned", "infeasible", "failed"];
const SIZE = 50;
const KEY = "hpo-columns";

// What is of no use to most is hidden until somebody asks for it.
const HIDDEN = [/^metric\./, /^(attempt|finished|iteration|parent|feasible)$/];

function remembered() {
  try {
    return JSON.parse(window.localStorage.getItem(KEY) ?? "{}");
  } catch {
    return {};
  }
}

export class TrialTable {
  constructor(study, overview) {
    this.study = study;
    this.wish = { sort: "number", order: "desc", state: [], text: "" };
    this.offset = 0;
    this.picked = remembered();
    this.head = h("tr");
    this.body = h("tbody");
    this.place = h("span", { class: "quiet small", role: "status" });
    this.before = h(
      "button",
      { type: "button", on: { click: () => this.turn(-SIZE) } },
      "‹ Before",
    );
    this.after = h("button", { type: "button", on: { click: () => this.turn(SIZE) } }, "Next ›");
    this.csv = h("a", { class: "button", download: "trials.csv" }, "CSV");
    this.columns = h("details", { class: "columns" });
    const again = later(() => this.anew());
    const [aim] = overview.columns.filter((column) => column.startsWith("value."));
    this.search = h("input", {
      type: "search",
      class: "grow",
      placeholder: `Text, or a condition such as ${heading(aim ?? "number")} > 0.9`,
      "aria-label": "Filter trials by text or by a condition",
      on: {
        input: () => {
          this.wish.text = this.search.value;
          again();
        },
      },
    });
    this.chips = STATES.map((state) => this.chip(state));
    this.element = h(
      "div",
      {},
      h(
        "div",
        { class: "bar" },
        this.search,
        h("span", { class: "chips", role: "group", "aria-label": "States" }, this.chips),
        this.columns,
        this.csv,
      ),
      h(
        "div",
        { class: "scroll card", tabindex: "0", role: "region", "aria-label": "Trials" },
        h("table", { class: "trials" }, h("thead", {}, this.head), this.body),
      ),
      h("div", { class: "bar" }, this.before, this.after, this.place),
    );
  }

  chip(state) {
    const button = h(
      "button",
      { type: "button", class: `chip ${state}`, "aria-pressed": "false" },
      state,
    );
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      this.wish.state = on
        ? [...this.wish.state, state]
        : this.wish.state.filter((each) => each !== state);
      this.anew();
    });
    return button;
  }

  anew() {
    this.offset = 0;
    return this.update();
  }

  turn(by) {
    this.offset = Math.max(0, this.offset + by);
    return this.update();
  }

  sortBy(column) {
    const same = this.wish.sort === column;
    this.wish.order =
      same && this.wish.order === "desc"
        ? "asc"
        : same
          ? "desc"
          : column === "number"
            ? "desc"
            : "asc";
    this.wish.sort = column;
    return this.anew();
  }

  async update() {
    const query = { study: this.study, ...this.wish };
    const asked = JSON.stringify([query, this.offset]);
    this.asked = asked;
    this.csv.href = address("api/trials.csv", query);
    const found = await get("api/trials", { ...query, offset: this.offset, limit: SIZE });
    if (this.asked !== asked || found === this.last) return;
    this.last = found;
    this.show();
  }

  visible(column) {
    if (column === "number") return true;
    return this.picked[column] ?? !HIDDEN.some((pattern) => pattern.test(column));
  }

  show() {
    const { columns, rows, found, total, offset } = this.last;
    const wanted = columns
      .map((column, place) => ({ column, place }))
      .filter(({ column }) => this.visible(column) && !this.isEmpty(column));
    const [number, ...others] = wanted.map(({ column }) => this.header(column));
    fill(this.head, number, h("th", { scope: "col" }, "Airflow"), others);
    fill(
      this.body,
      rows.map((row) => this.row(row, wanted)),
    );
    const last = offset + rows.length;
    const share = found === total ? `of ${total}` : `of ${found} found in ${total}`;
    this.place.textContent = rows.length
      ? `${offset + 1} to ${last} ${share}`
      : total
        ? "No trial is like that."
        : "There are no trials yet.";
    this.before.disabled = offset === 0;
    this.after.disabled = last >= found;
    this.offerColumns(columns);
  }

  isEmpty(column) {
    // Resource and what belongs to ladders mean nothing to most studies.
    if (!/^(resource|bracket|rung|parent|reason)$/.test(column)) return false;
    const place = this.last.columns.indexOf(column);
    return this.last.rows.every((row) => row.cells[place] === null);
  }

  offerColumns(columns) {
    if (this.offered === columns.join()) return;
    this.offered = columns.join();
    const boxes = columns.map((column) => {
      const box = h("input", { type: "checkbox", checked: this.visible(column) });
      box.addEventListener("change", () => {
        this.picked[column] = box.checked;
        try {
          window.localStorage.setItem(KEY, JSON.stringify(this.picked));
        } catch {
          // Kept for this visit only.
        }
        this.show();
      });
      return h("label", {}, box, " ", column);
    });
    fill(
      this.columns,
      h("summary", { class: "button" }, "Columns"),
      h("div", { class: "menu" }, boxes),
    );
  }

  header(column) {
    const sorted = this.wish.sort === column;
    const way = this.wish.order === "asc" ? "ascending" : "descending";
    const arrow = sorted ? (this.wish.order === "asc" ? " ↑" : " ↓") : "";
    return h(
      "th",
      {
        scope: "col",
        "aria-sort": sorted ? way : "none",
        class: column === "number" ? "pinned" : null,
      },
      h(
        "button",
        { type: "button", title: column, on: { click: () => this.sortBy(column) } },
        heading(column) + arrow,
      ),
    );
  }

  row(row, wanted) {
    const [number, ...others] = wanted.map(({ column, place }) =>
      this.cell(column, row.cells[place]),
    );
    const links = h("td", { class: "nowrap" }, this.links(row.task));
    return h("tr", { "data-number": row.number }, number, links, others);
  }

  cell(column, value) {
    if (column === "number")
      return h("th", { scope: "row", class: "number pinned" }, String(value));
    if (column === "state") return h("td", {}, h("span", { class: `pill ${value}` }, value));
    if (column === "duration_s")
      return h("td", { class: "number nowrap" }, value === null ? "" : duration(value));
    if (column === "started" || column === "finished")
      return h("td", { class: "nowrap" }, moment(value));
    if (column === "reason") return h("td", { class: "reason", title: value }, value ?? "");
    const text = shown(value);
    return h(
      "td",
      {
        class: typeof value === "number" ? "number" : null,
        title: text.length > 40 || typeof value === "number" ? String(value) : null,
      },
      text,
    );
  }

  links(task) {
    if (!task) return h("span", { class: "quiet" }, "–");
    const label = `${task.task}${task.map_index >= 0 ? ` [${task.map_index}]` : ""}`;
    return [
      link(logUrl(task), "log", { title: `Log of ${label}` }),
      " · ",
      link(taskUrl(task, "/details"), "task", { title: label }),
    ];
  }
}
