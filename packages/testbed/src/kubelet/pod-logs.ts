/**
 * Reads what a container printed, as `kubectl logs` asks. The file holds the bytes as they came, without times: those are
 * refused, and `since` takes a log as a whole, by the time of its last line.
 * Proof: test/kubelet/logs.kubectl.test.ts.
 * @module
 */
import { watch } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { type Clock, nsPerMs } from "@dm/core";
import { badRequest } from "../api-server/api-error.ts";
import type { LogOptions } from "../api-server/pod-streams.ts";

const chunkBytes = 64 << 10;

/** `exited` is that of the container that still writes; without it the log is complete. */
export async function* readLog(
  path: string,
  options: LogOptions,
  clock: Clock,
  exited: Promise<unknown> | undefined,
): AsyncIterable<Uint8Array> {
  if (options.timestamps) throw badRequest("this kubelet keeps no timestamps of log lines");
  const file = await open(path);
  try {
    const { size, mtimeMs } = await file.stat();
    let offset = mtimeMs < sinceMs(options, clock) ? size : 0;
    if (options.tailLines !== undefined) {
      offset = Math.max(offset, await startOfLastLines(file, size, options.tailLines));
    }
    let left = options.limitBytes ?? Number.POSITIVE_INFINITY;
    const follow = options.follow && exited !== undefined;
    const changes = follow ? followChanges(path, exited, options.signal) : undefined;
    try {
      for (;;) {
        // Asked before reading: what is written afterwards counts as a change.
        const last = changes?.begin() ?? true;
        for (;;) {
          const length = Math.min(chunkBytes, left);
          const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
          if (bytesRead === 0) break;
          offset += bytesRead;
          left -= bytesRead;
          yield buffer.subarray(0, bytesRead);
        }
        if (last || left === 0 || changes === undefined || options.signal.aborted) return;
        await changes.next();
      }
    } finally {
      changes?.close();
    }
  } finally {
    await file.close();
  }
}

function sinceMs({ sinceSeconds, sinceTime }: LogOptions, clock: Clock): number {
  if (sinceTime !== undefined) return Date.parse(sinceTime);
  if (sinceSeconds === undefined) return 0;
  return Number(clock.nowNs() / nsPerMs) - sinceSeconds * 1000;
}

async function startOfLastLines(file: FileHandle, size: number, lines: number): Promise<number> {
  if (lines === 0) return size;
  let end = size;
  let found = 0;
  while (end > 0) {
    const start = Math.max(0, end - chunkBytes);
    const { buffer } = await file.read(Buffer.alloc(end - start), 0, end - start, start);
    for (let index = buffer.length - 1; index >= 0; index--) {
      // The line feed at the very end closes the last line.
      if (buffer[index] !== 0x0a || start + index === size - 1) continue;
      if (++found === lines) return start + index + 1;
    }
    end = start;
  }
  return 0;
}

interface Changes {
  /** True when the container has ended: what is there is all. */
  begin(): boolean;
  next(): Promise<void>;
  close(): void;
}

function followChanges(path: string, exited: Promise<unknown>, signal: AbortSignal): Changes {
  let ended = false;
  let changed = false;
  let tell = (): void => {};
  const change = (): void => {
    changed = true;
    tell();
  };
  const watcher = watch(path, change);
  watcher.on("error", change);
  signal.addEventListener("abort", change, { once: true });
  void exited.then(() => {
    ended = true;
    change();
  });
  return {
    begin() {
      changed = false;
      return ended;
    },
    next: () =>
      new Promise((resolve) => {
        tell = resolve;
        if (changed) resolve();
      }),
    close() {
      watcher.close();
      signal.removeEventListener("abort", change);
    },
  };
}
