// The settings tab: what the study runs with, its space, its blueprint.

import { link, runConf, runUrl } from "./airflow.js";
import { address, get } from "./api.js";
import { copy, fill, h } from "./dom.js";
import { count, shown } from "./format.js";

export function settings(data, run) {
  return [
    h(
      "section",
      { class: "card" },
      h("h2", {}, "Effective settings"),
      h(
        "p",
        { class: "quiet small" },
        "Of the latest run: the blueprint with what the trigger form changed.",
      ),
      pairs(data.settings),
      run ? given(run) : null,
    ),
    h("section", { class: "card" }, h("h2", {}, "Search space"), space(data)),
    data.runs.length
      ? h(
          "section",
          { class: "card" },
          h("h2", {}, "Runs"),
          h(
            "ul",
            {},
            data.runs.map((run) =>
              h(
                "li",
                {},
                link(runUrl(run), `${run.dag}, ${run.run}`),
                ` – ${count(run.trials, "trial")}`,
              ),
            ),
          ),
        )
      : null,
    report(data),
    data.source.text ? blueprint(data.source) : null,
  ];
}

// Which files there are is asked once while a study runs, and once when it has ended.
const listed = new Map();

/** Return where the report is, as it would be written now and as it was. */
function report(data) {
  const study = data.study;
  const key = JSON.stringify([study, data.is_live]);
  if (!listed.has(key)) listed.set(key, get("api/written", { study }).catch(() => ({ files: {} })));
  const now = h("a", { href: address("report.html", { study }), target: "_blank", rel: "noopener" }, "as it is now");
  const items = h("ul", { id: "written" }, h("li", {}, now));
  listed.get(key).then(({ files }) => {
    for (const name of Object.keys(files)) {
      const href = address(`written/${name}`, { study });
      const title = `${name}, as it was written last`;
      items.append(h("li", {}, h("a", { href, target: "_blank", rel: "noopener" }, title)));
    }
  });
  return h("section", { class: "card" }, h("h2", {}, "Report"), items);
}

/** Return what was changed when *run* was triggered, once Airflow has told. */
function given(run) {
  const place = h("div", { id: "given" });
  runConf(run).then((conf) => {
    if (conf === null) return;
    const names = Object.keys(conf);
    const title = h(
      "h2",
      { class: "next" },
      "Given when ",
      link(runUrl(run), run.run),
      " was triggered",
    );
    fill(
      place,
      title,
      names.length
        ? pairs(conf)
        : h("p", { class: "quiet small" }, "Nothing: the blueprint holds as it is."),
    );
  });
  return place;
}

function pairs(values) {
  return h(
    "dl",
    { class: "pairs" },
    Object.entries(values).map(([name, value]) =>
      h(
        "div",
        {},
        h("dt", {}, name),
        h("dd", {}, Array.isArray(value) ? value.map(shown).join("; ") : shown(value)),
      ),
    ),
  );
}

function space(data) {
  const rows = data.space.map((parameter) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, parameter.name),
      h("td", {}, parameter.kind),
      h("td", {}, parameter.values ? parameter.values.map(shown).join(", ") : parameter.text),
      h(
        "td",
        { class: "quiet" },
        Object.entries(parameter.when)
          .map(([name, values]) => `${name} is ${values.map(shown).join(" or ")}`)
          .join(", "),
      ),
    ),
  );
  return [
    h(
      "div",
      { class: "scroll" },
      h(
        "table",
        { class: "space" },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["parameter", "kind", "values", "only if"].map((name) =>
              h("th", { scope: "col" }, name),
            ),
          ),
        ),
        h("tbody", {}, rows),
      ),
    ),
    data.constraints.length
      ? h("p", { class: "quiet small" }, `Constraints: ${data.constraints.join("; ")}`)
      : null,
  ];
}

function blueprint(source) {
  const button = h("button", { type: "button" }, "Copy");
  button.addEventListener("click", () => copy(source.text, button));
  return h(
    "section",
    { class: "card" },
    h(
      "div",
      { class: "cardhead" },
      h("h2", {}, `Blueprint (${source.dialect})`),
      h("div", { class: "controls" }, h("span", { class: "quiet small" }, source.file), button),
    ),
    h("pre", { class: "code", tabindex: "0" }, source.text),
  );
}
