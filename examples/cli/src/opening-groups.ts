/**
 * Which commands open the connected repository in any case: for them it is begun early.
 * @module
 */

/** Groups of commands each of which opens the connected repository. */
export const openingGroups: ReadonlySet<string> = new Set([
  "snapshot",
  "snap",
  "list",
  "ls",
  "show",
  "cat",
  "diff",
  "compare",
  "history",
  "restore",
]);
