// What the head of a study's page and its cards show.

import { link, logUrl, runUrl } from "./airflow.js";
import { copy, h } from "./dom.js";
import { count, duration, moment, shown } from "./format.js";
import { stateBar } from "./list.js";

function fact(name, value, more) {
  return h(
    "div",
    { class: "fact" },
    h("span", { class: "name" }, name),
    h("span", { class: "value", title: value.textContent ?? value }, value),
    more ? h("span", { class: "more" }, more) : null,
  );
}

/** Return the tiles of the head. */
export function facts(data, scope) {
  const { best, states, budget, use, actual } = data;
  const values = best ? Object.entries(best.values) : [];
  const done = data.trials - (states.running ?? 0) - (states.waiting ?? 0) - (states.paused ?? 0);
  const [latest] = data.runs;
  return [
    ...(values.length
      ? values.map(([metric, value], place) =>
          fact(`${place ? "its" : "best"} ${metric}`, shown(value), `trial ${best.number}`),
        )
      : [fact("best", "–", data.aims.join(", "))]),
    fact("trials", `${done} / ${budget.trials}`, stateBar(states, data.trials)),
    fact(
      "running",
      String(states.running ?? 0),
      states.waiting ? count(states.waiting, "waiting trial") : `${use.lanes} at a time at most`,
    ),
    fact("wall clock", duration(use.wall_s), `trials: ${duration(actual.trial_time_s)}`),
    fact("idle", `${Math.round(use.idle_share * 100)} %`, `of ${count(use.lanes, "lane")}`),
    fact("strategy", data.strategy, `seed ${data.seed}`),
    scope.run_id && latest?.run === scope.run_id ? null : origin(data, latest),
  ];
}

/** Return where the study is at home: its latest run, or a terminal. */
function origin(data, latest) {
  if (!latest) return fact("begun", moment(data.created), "in a terminal");
  return fact("latest run", link(runUrl(latest), latest.run), latest.dag);
}

/** Return the best parameters, to be copied. */
export function bestCard(data) {
  const { best } = data;
  if (!best) {
    const words = data.states.complete
      ? "No trial satisfies the constraints on outcomes."
      : "No trial is complete yet.";
    return h(
      "section",
      { class: "card" },
      h("h2", {}, "Best parameters"),
      h("p", { class: "quiet" }, words),
    );
  }
  const text = JSON.stringify(best.parameters, null, 2);
  const button = h("button", { type: "button", id: "copy-best" }, "Copy as JSON");
  button.addEventListener("click", () => copy(text, button));
  const yaml = h("button", { type: "button" }, "Copy as a point");
  yaml.title = "A line for the blueprint's points: tried first in another study";
  yaml.addEventListener("click", () => copy(`- ${JSON.stringify(best.parameters)}\n`, yaml));
  return h(
    "section",
    { class: "card best" },
    h(
      "div",
      { class: "cardhead" },
      h("h2", {}, "Best parameters"),
      h(
        "div",
        { class: "controls" },
        data.best_task ? link(logUrl(data.best_task), `log of trial ${best.number}`) : null,
        button,
        yaml,
      ),
    ),
    h(
      "dl",
      { class: "pairs" },
      Object.entries(best.parameters).map(([name, value]) =>
        h("div", {}, h("dt", {}, name), h("dd", { title: String(value) }, shown(value))),
      ),
    ),
    data.front && data.front.length > 1
      ? h(
          "p",
          { class: "quiet small" },
          `${data.front.length} trials are on the Pareto front: no other beats them in every objective.`,
        )
      : null,
    "feasible" in data
      ? h(
          "p",
          { class: "quiet small" },
          `${count(data.feasible, "trial")} satisfy ${data.outcome_constraints.join(", ")}.`,
        )
      : null,
  );
}

/** Return what each rung planned, ran and promoted. */
export function rungTable(rungs) {
  const several = rungs.some((rung) => rung.iteration);
  const names = [
    ...(several ? ["iteration"] : []),
    "bracket",
    "rung",
    "resource",
    "planned",
    "trials",
    "ended",
    "promoted",
  ];
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "Rungs, planned and run"),
    h(
      "div",
      { class: "scroll" },
      h(
        "table",
        { class: "rungs" },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            names.map((name) => h("th", { scope: "col" }, name)),
          ),
        ),
        h(
          "tbody",
          {},
          rungs.map((rung) =>
            h(
              "tr",
              {},
              names.map((name) => h("td", { class: "number" }, shown(rung[name]) || "–")),
            ),
          ),
        ),
      ),
    ),
  );
}
