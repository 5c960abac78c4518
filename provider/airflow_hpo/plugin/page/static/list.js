// The list of studies: of all, of a DAG, or of a run.

import { address, get } from "./api.js";
import { dagUrl, link, runUrl } from "./airflow.js";
import { fill, h } from "./dom.js";
import { count, moment } from "./format.js";

const STATES = ["complete", "running", "paused", "waiting", "pruned", "infeasible", "failed"];

/** Return a bar of how many trials are in which state. */
export function stateBar(states, total) {
  const words = STATES.filter((state) => states[state]).map((state) => `${states[state]} ${state}`);
  return h(
    "span",
    { class: "statebar", role: "img", "aria-label": words.join(", "), title: words.join(", ") },
    STATES.filter((state) => states[state]).map((state) => {
      const piece = h("span", { class: `piece ${state}` });
      piece.style.flexGrow = String(states[state] / Math.max(total, 1));
      return piece;
    }),
  );
}

export class StudyList {
  constructor(root, scope) {
    this.root = root;
    this.scope = scope;
    this.text = "";
    this.last = null;
    this.body = h("tbody");
    this.note = h("p", { class: "quiet" });
    this.search = h("input", {
      type: "search",
      placeholder: "Find a study",
      "aria-label": "Find a study",
      on: {
        input: () => {
          this.text = this.search.value.toLowerCase();
          this.show();
        },
      },
    });
    fill(
      root,
      h("div", { class: "bar" }, this.search),
      h(
        "div",
        { class: "scroll card" },
        h(
          "table",
          { class: "list" },
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              ["study", "status", "trials", "begun", "DAG", "latest run"].map((name) =>
                h("th", { scope: "col" }, name),
              ),
            ),
          ),
          this.body,
        ),
      ),
      this.note,
    );
  }

  async update() {
    const { studies } = await get("api/studies", this.scope);
    if (studies === this.last) return studies;
    this.last = studies;
    this.show();
    return studies;
  }

  show() {
    const found = (this.last ?? []).filter((study) => study.name.toLowerCase().includes(this.text));
    fill(
      this.body,
      found.map((study) => this.row(study)),
    );
    const none = this.scope.run_id
      ? "This run has no trials yet."
      : "There are no studies yet that you may read.";
    this.note.textContent = found.length
      ? count(found.length, "study").replace("studys", "studies")
      : this.last?.length
        ? "No study has such a name."
        : none;
  }

  row(study) {
    const [latest] = study.runs;
    const live = !study.stop && (study.states.running || study.states.waiting);
    const status = study.stop ? "ended" : live ? "running" : "open";
    return h(
      "tr",
      {},
      h("td", {}, h("a", { href: address("", { ...this.scope, study: study.name }) }, study.name)),
      h("td", {}, h("span", { class: `pill ${status}`, title: study.stop?.reason }, status)),
      h(
        "td",
        { class: "wide" },
        stateBar(study.states, study.trials),
        " ",
        h("span", { class: "number" }, String(study.trials)),
      ),
      h("td", { class: "nowrap" }, moment(study.created)),
      h(
        "td",
        {},
        study.dags.map((dag, place) => [place ? ", " : "", link(dagUrl(dag), dag)]),
      ),
      h("td", {}, latest ? link(runUrl(latest), latest.run) : "–"),
    );
  }
}
