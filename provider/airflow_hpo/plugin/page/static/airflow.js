// The way back into Airflow's own pages.

import { h } from "./dom.js";

const root = new URL("../", document.baseURI);
const framed = window.parent !== window;

function part(text) {
  return encodeURIComponent(text);
}

export function runUrl({ dag, run }) {
  return new URL(`dags/${part(dag)}/runs/${part(run)}`, root).href;
}

export function dagUrl(dag) {
  return new URL(`dags/${part(dag)}`, root).href;
}

export function taskUrl({ dag, run, task, map_index: index }, view = "") {
  const mapped = index >= 0 ? `/mapped/${index}` : "";
  const rest = `dags/${part(dag)}/runs/${part(run)}/tasks/${part(task)}${mapped}${view}`;
  return new URL(rest, root).href;
}

export function logUrl(place) {
  const tried = place.tries > 0 ? `?try_number=${place.tries}` : "";
  return taskUrl(place, tried);
}

const confs = new Map();

/** Return what was given when a run was triggered; `null` where Airflow does not say. */
export function runConf({ dag, run }) {
  const url = new URL(`api/v2/dags/${part(dag)}/dagRuns/${part(run)}`, root).href;
  if (!confs.has(url)) {
    const asked = fetch(url, { credentials: "same-origin" })
      .then((answer) => (answer.ok ? answer.json() : {}))
      .then((found) => found.conf ?? null)
      .catch(() => null);
    confs.set(url, asked);
  }
  return confs.get(url);
}

/**
 * Return a link to one of Airflow's pages.
 *
 * Airflow puts this page into a frame that may neither lead its window elsewhere nor open
 * another one; but it is of the same origin, so the window's own document can be asked to.
 */
export function link(href, text, attrs = {}) {
  return h("a", { href, target: "_top", ...attrs, on: { click: follow } }, text);
}

function follow(event) {
  if (!framed || event.defaultPrevented) return;
  try {
    const outer = window.parent.document;
    const anchor = outer.createElement("a");
    anchor.href = event.currentTarget.href;
    if (event.ctrlKey || event.metaKey || event.shiftKey) anchor.target = "_blank";
    anchor.rel = "noopener";
    outer.body.append(anchor);
    anchor.click();
    anchor.remove();
    event.preventDefault();
  } catch {
    // Another origin's frame: the link does what links do.
  }
}
