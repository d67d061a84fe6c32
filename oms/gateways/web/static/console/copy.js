// Copy: a text into the clipboard.

import { happened } from "./announce.js";

/** Copy a text, and say so; what: its name, with a capital. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    happened(`${what} copied`);
  } catch {
    happened(`${what} could not be copied: select it by hand`);
  }
}
