/** Lines are JSON whatever is logged, and hold nothing whose name sounds like a secret. */
import { ConflictError, type LogFields } from "@dm/core";
import { virtualClock } from "@dm/testbed";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type JsonLoggerOptions, jsonLogger, withFields } from "../../src/runtime/json-logger.ts";

function lines(options: JsonLoggerOptions, log: (logger: ReturnType<typeof jsonLogger>) => void) {
  const written: string[] = [];
  const clock = virtualClock(Date.parse("2026-01-01T00:00:00.123Z"));
  log(jsonLogger({ clock, write: (line) => written.push(line), ...options }));
  return written.map((line) => {
    expect(line.endsWith("\n")).toBe(true);
    expect(line.indexOf("\n")).toBe(line.length - 1);
    return JSON.parse(line) as Record<string, unknown>;
  });
}

describe("log lines", () => {
  it("have time, level, message and fields", () => {
    const written = lines({ fields: { node: "n1" } }, (log) => {
      log.debug("Not written");
      log.info("Created backup pod", { pod: "velero/p1", bytes: 7n, took: undefined });
      withFields(log, { controller: "upload" }).warn("Looked again", { key: "a/b" });
    });
    const time = "2026-01-01T00:00:00.123Z";
    expect(written).toEqual([
      {
        time,
        level: "info",
        message: "Created backup pod",
        node: "n1",
        pod: "velero/p1",
        bytes: "7",
      },
      {
        time,
        level: "warn",
        message: "Looked again",
        node: "n1",
        controller: "upload",
        key: "a/b",
      },
    ]);
  });

  it("are text for people, one line each whatever is in them", () => {
    const written: string[] = [];
    const clock = virtualClock(Date.parse("2026-01-01T00:00:00Z"));
    const log = jsonLogger({ clock, format: "text", write: (line) => written.push(line) });
    log.info("Created backup pod", { pod: "velero/p1", bytes: 7n, took: undefined });
    log.warn("a\nb=c", { "x y": 'level=error "', list: [1, "z"], password: "p", empty: "" });
    expect(written).toEqual([
      'time=2026-01-01T00:00:00.000Z level=info msg="Created backup pod" pod=velero/p1 bytes=7\n',
      'time=2026-01-01T00:00:00.000Z level=warn msg="a\\nb=c" "x y"="level=error \\"" list="[1,\\"z\\"]" password="[not shown]" empty=""\n',
    ]);
  });

  it("keep time, level and message, whatever the fields are called", () => {
    const lines: string[] = [];
    const log = jsonLogger({ write: (line) => lines.push(line) });
    log.info("said", { message: "another", level: "x", time: 0 });
    log.info("said", { message: undefined });
    for (const line of lines)
      expect(JSON.parse(line)).toMatchObject({ level: "info", message: "said" });
    expect(lines).toHaveLength(2);
  });

  it("are written from the level on", () => {
    const all = (log: ReturnType<typeof jsonLogger>): void => {
      for (const level of ["debug", "info", "warn", "error"] as const) log[level]("x");
    };
    expect(lines({ level: "debug" }, all)).toHaveLength(4);
    expect(lines({ level: "error" }, all)).toHaveLength(1);
  });

  it("hold no secrets, at any depth, in errors too", () => {
    const error = new ConflictError("DM_X", "refused", { token: "hunter2", kind: "Pod" });
    const written = lines({}, (log) =>
      log.error("Failed", {
        error,
        headers: { Authorization: "Bearer hunter2" },
        env: [{ KOPIA_PASSWORD: "hunter2", secretAccessKey: "hunter2" }],
        credentials: { a: "hunter2" },
        bytes: new TextEncoder().encode("hunter2"),
        secretName: "velero-repo-credentials",
      }),
    );
    expect(JSON.stringify(written)).not.toContain("hunter2");
    expect(written[0]).toMatchObject({
      error: { code: "DM_X", message: "refused", details: { kind: "Pod" } },
      secretName: "velero-repo-credentials",
    });
  });

  it("show the stack and the cause of errors that nobody expected", () => {
    const cause = Object.assign(new Error("no such file"), { code: "ENOENT" });
    const [line] = lines({}, (log) => log.error("Failed", { error: new Error("bad", { cause }) }));
    expect(line).toMatchObject({
      error: {
        message: "bad",
        stack: expect.stringContaining("json-logger.test"),
        cause: { code: "ENOENT", message: "no such file" },
      },
    });
  });

  it("come out for anything", () => {
    const circular: Record<string, unknown> = {};
    circular["self"] = circular;
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withDate: true, withTypedArray: true }),
        (value) => {
          const fields: LogFields = { value, circular, symbol: Symbol("s"), call: () => 1 };
          expect(lines({}, (log) => log.info("x", fields))).toHaveLength(1);
        },
      ),
    );
    expect(() =>
      lines(
        {
          write: () => {
            throw new Error("disk full");
          },
        },
        (log) => log.info("x"),
      ),
    ).not.toThrow();
  });
});
