// Light or dark: as chosen here, else as Airflow is, else as the system is.

const KEY = "hpo-theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");
const listeners = [];

function chosen() {
  try {
    return window.localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function airflows() {
  try {
    // Airflow's own page around this one: its root element says which it is.
    const outer = window.parent === window ? null : window.parent.document.documentElement;
    if (outer?.classList.contains("dark")) return "dark";
    if (outer?.classList.contains("light")) return "light";
    const kept = window.localStorage.getItem("theme");
    return kept === "dark" || kept === "light" ? kept : null;
  } catch {
    return null;
  }
}

export function theme() {
  return chosen() ?? airflows() ?? (system.matches ? "dark" : "light");
}

function apply() {
  const now = theme();
  if (document.documentElement.dataset.theme === now) return;
  document.documentElement.dataset.theme = now;
  listeners.forEach((listener) => listener(now));
}

/** Call *listener* whenever the theme changes. */
export function onTheme(listener) {
  listeners.push(listener);
}

export function toggle() {
  const other = theme() === "dark" ? "light" : "dark";
  try {
    window.localStorage.setItem(KEY, other);
  } catch {
    document.documentElement.dataset.theme = other;
  }
  apply();
}

export function follow() {
  apply();
  system.addEventListener("change", apply);
  window.addEventListener("storage", apply);
  try {
    if (window.parent !== window) {
      new MutationObserver(apply).observe(window.parent.document.documentElement, {
        attributeFilter: ["class", "style"],
      });
    }
  } catch {
    // Another origin's frame.
  }
}
