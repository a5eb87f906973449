// What the views are written in: Preact's components, in templates that need no build.

import { createContext, h, render } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
export { createContext, render };
export { useCallback, useContext, useEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
