/** docs/cli.md names every command and every flag that the help shows, and no other; so do the error codes of README.md. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { Home } from "./run.ts";

const folder = join(import.meta.dirname, "..");
const page = readFileSync(join(folder, "../../docs/cli.md"), "utf8");

const flagsIn = (text: string): string[] =>
  [...text.matchAll(/`(--[a-z0-9-]+)`/g)].map((match) => match[1]!).sort();

/** Commands and flags of the page's table; a row may refer to another one. */
function documented(): Map<string, string[]> {
  const table = page.slice(page.indexOf("## Commands"), page.indexOf("## Where it differs"));
  const rows = [...table.matchAll(/^\| `([a-z0-9 -]+)` \| (.*)\|$/gm)];
  const own = new Map(rows.map(([, command, text]) => [command!, flagsIn(text!)]));
  for (const [, command, text] of rows) {
    const other = /(?:those of|as) `([a-z0-9 -]+)`/.exec(text!)?.[1];
    if (other) own.set(command!, [...own.get(command!)!, ...own.get(other)!].sort());
  }
  return own;
}

const section = (help: string, title: string): string[] =>
  (new RegExp(`^${title}:\n((?: .*\n)*)`, "m").exec(help)?.[1] ?? "").split("\n");

/** What the help shows, from `args` on; a group without flags of its own has no row. */
async function shown(home: Home, args: readonly string[]): Promise<[string, string[]][]> {
  const { out } = await home.ok([...args, "--help"]);
  const flags = section(out, "Options").flatMap(
    (line) => /^ {2}(?:-\w, )?(--[a-z0-9-]+)/.exec(line)?.[1] ?? [],
  );
  const own = flags.filter((flag) => flag !== "--help" && flag !== "--version").sort();
  const children = section(out, "Commands")
    .flatMap((line) => /^ {2}([a-z0-9-]+)/.exec(line)?.[1] ?? [])
    .filter((name) => name !== "help");
  const rows: [string, string[]][] = [];
  if (children.length === 0 || (own.length > 0 && args.length > 0))
    rows.push([args.join(" "), own]);
  for (const name of children) rows.push(...(await shown(home, [...args, name])));
  return rows;
}

it("docs/cli.md names every command and flag", async () => {
  using home = new Home();
  const rows = await shown(home, []);
  expect(rows.length).toBeGreaterThan(30);
  expect(Object.fromEntries(documented())).toEqual(Object.fromEntries(rows));
  const { out } = await home.ok("--help");
  const global = section(out, "Options").flatMap((line) => /(--[a-z0-9-]+)/.exec(line)?.[1] ?? []);
  const head = page.slice(0, page.indexOf("Accepted and left out"));
  expect(flagsIn(head).filter((flag) => flag !== "--no-persist-credentials")).toEqual(
    global
      .filter((flag) => !["--help", "--version", "--no-persist-credentials"].includes(flag))
      .sort(),
  );
  for (const [name] of out.matchAll(/^ {2}KOPIA_\w+/gm))
    expect(page).toContain(`\`${name.trim()}\``);
});

it("README.md explains every error code", () => {
  const readme = readFileSync(join(folder, "README.md"), "utf8");
  const sources = readdirSync(join(folder, "src"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => readFileSync(join(folder, "src", file), "utf8"));
  const codes = new Set(sources.join("").match(/DM_CLI_\w+/g));
  expect(codes.size).toBeGreaterThan(0);
  for (const code of codes) expect(readme).toContain(`### ${code}\n`);
});
