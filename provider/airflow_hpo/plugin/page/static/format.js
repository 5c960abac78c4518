// Values as people read them.

/** Return a number with six digits that matter, anything else as text. */
export function shown(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") {
    if (Number.isInteger(value))
      return Math.abs(value) < 1e9 ? String(value) : value.toPrecision(6);
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-4 || size >= 1e7))
      return value.toExponential(4).replace(/\.?0+e/, "e");
    return String(Number(value.toPrecision(6)));
  }
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Return seconds as `1 h 02 min`. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const s = Math.max(0, seconds);
  if (s < 10) return `${Number(s.toFixed(1))} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min ${String(Math.round(s % 60)).padStart(2, "0")} s`;
  if (s < 172800)
    return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** Return a moment (ISO text, or seconds) in the visitor's own zone. */
export function moment(when) {
  if (when === null || when === undefined || when === "") return "";
  const date = new Date(typeof when === "number" ? when * 1000 : when);
  const pad = (n) => String(n).padStart(2, "0");
  return (
    `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ` +
    `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`
  );
}

/** Return `1 trial`, `2 trials`. */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** Return the name of a column as people read it. */
export function heading(column) {
  if (column === "duration_s") return "took";
  return column.replace(/^(value|parameter|metric)\./, "");
}
