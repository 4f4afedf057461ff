/**
 * What a command line asks for, found without the parser, which has not loaded then. Proof: test/command-name.test.ts.
 * @module
 */

/** Groups of commands, with their aliases; a word behind one of them is a command. */
const groups: ReadonlySet<string> = new Set([
  ...["repository", "repo", "blob", "content", "contents", "index", "manifest", "snapshot", "snap"],
  ...["policy", "policies", "maintenance", "benchmark"],
]);

/** `snapshot-create`, or `other` for everything outside of a group. Two that differ may have one name, nothing worse. */
export function commandName(argv: readonly string[]): string {
  const at = argv.findIndex((word) => groups.has(word));
  const command = argv[at + 1] ?? "";
  return at >= 0 && /^[a-z][a-z-]{0,30}$/.test(command) ? `${argv[at]}-${command}` : "other";
}
