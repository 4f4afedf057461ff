import { expect, it } from "vitest";
import { createScreen } from "../src/demo/screen.ts";

it("numbers steps, and says each change of a movement once where there is no terminal", async () => {
  let text = "";
  const screen = createScreen((more) => {
    text += more;
  }, false);
  screen.step("First");
  screen.say("a\nb");
  const result = await screen.bars(["one", "three"], async (bars) => {
    bars.get("one")?.update(0, 0, "New");
    bars.get("one")?.update(1 << 20, 2 << 20, "InProgress");
    bars.get("one")?.update(2 << 20, 2 << 20, "InProgress");
    bars.get("three")?.update(0, 0, "New");
    return 7;
  });
  screen.step("Second");
  expect(result).toBe(7);
  expect(text.split("\n")).toEqual([
    "",
    "1. First",
    "   a",
    "   b",
    "   one    0.0 MiB of 0.0 MiB  New",
    "   one    1.0 MiB of 2.0 MiB  InProgress",
    "   three  0.0 MiB of 0.0 MiB  New",
    "",
    "2. Second",
    "",
  ]);
});
