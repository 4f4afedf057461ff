/** A bar on a terminal while work is under way, gone and silent afterwards; nothing where there is no terminal. */
import { afterEach, expect, it, vi } from "vitest";
import { Home } from "./run.ts";

afterEach(() => vi.restoreAllMocks());

/** What is drawn on a standard error that looks like a terminal. */
function terminal(): { text: string } {
  const drawn = { text: "" };
  vi.spyOn(process.stderr, "write").mockImplementation((piece) => {
    drawn.text += String(piece);
    return true;
  });
  Object.defineProperty(process.stderr, "isTTY", { value: true, configurable: true });
  return drawn;
}

it("draws a bar and takes it away", async () => {
  using home = new Home();
  await home.golden("v3-ecc");
  const wasTerminal = process.stderr.isTTY;
  const drawn = terminal();
  try {
    for (const line of ["content verify --full", "index recover"]) {
      drawn.text = "";
      await home.ok(line, { isTerminal: true });
      expect(drawn.text).toMatch(/\d+% \d+\/\d+ (contents|packs)/);
      // Hidden at the beginning, shown at the end: Ctrl-C on a stuck bar would leave a terminal without a cursor.
      expect(drawn.text.lastIndexOf("\u001b[?25h")).toBeGreaterThan(
        drawn.text.lastIndexOf("\u001b[?25l"),
      );
      const { length } = drawn.text;
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(drawn.text.length).toBe(length);
    }
    drawn.text = "";
    await home.ok("content verify --full --no-progress", { isTerminal: true });
    await home.ok("content verify --full");
    expect(drawn.text).toBe("");
  } finally {
    Object.defineProperty(process.stderr, "isTTY", { value: wasTerminal, configurable: true });
  }
});
