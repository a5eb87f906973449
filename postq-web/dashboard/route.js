// Where one is: paths of this page, without asking the server again.

import { mount } from "./api.js";
import { useEffect, useState } from "./dom.js";

const changed = new Set();

const now = () => ({ path: location.pathname.slice(mount.length).replace(/(.)\/$/, "$1") || "/", query: new URLSearchParams(location.search) });

addEventListener("popstate", () => changed.forEach((tell) => tell(now())));

export function go(path) {
  history.pushState(null, "", mount + path);
  changed.forEach((tell) => tell(now()));
}

export function useRoute() {
  const [route, setRoute] = useState(now());
  useEffect(() => {
    changed.add(setRoute);
    return () => changed.delete(setRoute);
  }, []);
  return route;
}

/** What a link within the page has. */
export function link(path) {
  const onClick = (event) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    go(path);
  };
  return { href: mount + path, onClick };
}
