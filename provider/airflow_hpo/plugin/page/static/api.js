// What the page asks its server: JSON, each answer once.

const known = new Map();
const KEPT = 60;

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Return the address of *path* below the page, whatever path Airflow itself has. */
export function address(path, query = {}) {
  // An empty path would keep the query that the page has now.
  const url = new URL(path || ".", document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === "") continue;
    for (const each of [value].flat()) url.searchParams.append(name, each);
  }
  return url;
}

/** Return what the server answers; one that has not changed is not sent again. */
export async function get(path, query = {}) {
  const url = String(address(path, query));
  const old = known.get(url);
  const headers = old ? { "If-None-Match": old.tag } : {};
  const answer = await fetch(url, { headers, credentials: "same-origin" });
  if (answer.status === 304 && old) return old.data;
  if (!answer.ok) throw new Refused(answer.status, await reason(answer));
  const data = await answer.json();
  const tag = answer.headers.get("ETag");
  known.delete(url);
  if (tag) known.set(url, { tag, data });
  if (known.size > KEPT) known.delete(known.keys().next().value);
  return data;
}

async function reason(answer) {
  if (answer.status === 401) return "You are not logged in to Airflow any more.";
  if (answer.status === 403) return "You may not read this study: its DAG is not open to you.";
  try {
    const { detail } = await answer.json();
    return typeof detail === "string" ? detail : JSON.stringify(detail);
  } catch {
    return `The server answered ${answer.status}.`;
  }
}
