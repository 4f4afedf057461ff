/** Under which name the compiled code of a command is kept. */
import { expect, it } from "vitest";
import { commandName } from "../src/command-name.ts";

it("is the group and its command, wherever flags stand", () => {
  const names = [
    "snapshot create /home/me",
    "--config-file x snapshot create --no-auto-maintenance /home/me",
    "repo status",
  ].map((line) => commandName(line.split(" ")));
  expect(names).toEqual(["snapshot-create", "snapshot-create", "repo-status"]);
});

it("is one for all that stands alone, and never a path", () => {
  for (const line of [
    "",
    "--version",
    "ls kabc",
    "restore ../../x",
    "snapshot --help",
    "snapshot ../x",
    "content",
  ])
    expect(commandName(line.split(" "))).toBe("other");
});
