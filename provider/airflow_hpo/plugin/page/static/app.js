// What the page shows: a list of studies, or one of them; and how it stays up to date.

import { fill, h } from "./dom.js";
import { StudyList } from "./list.js";
import { StudyPage } from "./study.js";
import { follow, onTheme, theme, toggle } from "./theme.js";

const LIVE_MS = 3000;
const LIST_MS = 8000;
const IDLE_MS = 15000;

const query = new URLSearchParams(window.location.search);
const scope = { dag_id: query.get("dag_id"), run_id: query.get("run_id") };
const main = document.getElementById("main");
const banner = document.getElementById("banner");

let view = null;
let timer = 0;

function say(text) {
  banner.hidden = !text;
  banner.textContent = text;
}

function themeButton() {
  const label = () => (theme() === "dark" ? "Light" : "Dark");
  const button = h(
    "button",
    { type: "button", class: "theme", "aria-label": "Light or dark", on: { click: toggle } },
    label(),
  );
  onTheme(() => {
    button.textContent = label();
  });
  return button;
}

async function begin() {
  const study = query.get("study");
  if (study !== null) return new StudyPage(main, study, scope);
  const list = new StudyList(main, scope);
  const studies = await list.update();
  // A run has one study as a rule: then there is nothing to choose.
  if (scope.run_id && studies.length === 1 && !query.has("list")) {
    return new StudyPage(main, studies[0].name, { ...scope, study_only: true });
  }
  return list;
}

async function tick() {
  clearTimeout(timer);
  let wait = IDLE_MS;
  if (!document.hidden) {
    try {
      view ??= await begin();
      const data = await view.update();
      if (scope.run_id && view instanceof StudyList && data.length === 1 && !query.has("list")) {
        view = new StudyPage(main, data[0].name, { ...scope, study_only: true });
        await view.update();
      }
      const listed = Array.isArray(data);
      wait = listed && !scope.run_id ? LIST_MS : listed || data.is_live ? LIVE_MS : IDLE_MS;
      say("");
    } catch (error) {
      const first = view === null || !view.data;
      say(first ? error.message : `Not up to date: ${error.message}`);
      if (first && main.querySelector("h1") === null && !(view instanceof StudyList)) fill(main);
    }
  }
  timer = setTimeout(tick, wait);
}

follow();
document.getElementById("head").append(themeButton());
document.addEventListener("visibilitychange", () => document.hidden || tick());
tick();
