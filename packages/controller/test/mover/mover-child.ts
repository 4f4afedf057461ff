/**
 * A mover as a process of its own, as a hosting pod runs it: `node --conditions=@dm/source mover-child.ts backup --volume-path=…`.
 * @module
 */
import { type LogFields, silentLogger } from "@dm/core";
import { moverSettings } from "../../src/mover/mover-settings.ts";
import { runMover } from "../../src/mover/run-mover.ts";

const stop = new AbortController();
process.once("SIGTERM", () => stop.abort(new Error("SIGTERM")));
// A hosting pod names the role first.
const args = process.argv.slice(process.argv[2] === "mover" ? 3 : 2);
const settings = moverSettings(args, process.env);
const logger = {
  ...silentLogger,
  info: (message: string, fields: LogFields = {}) =>
    console.log(JSON.stringify({ message, ...fields })),
};
const { exitCode } = await runMover(settings, { stopSignal: stop.signal, logger });
console.log(JSON.stringify({ maxRssBytes: process.resourceUsage().maxRSS * 1024 }));
process.exitCode = exitCode;
