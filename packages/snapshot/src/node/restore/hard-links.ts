/**
 * Names of one file, where the snapshot kept that: the first is restored, the others become links to it. Memory: one entry
 * for each file with several names. Proof: test/restore-extended.test.ts.
 * @module
 */
import { closeSync, linkSync, lstatSync, renameSync, unlinkSync } from "node:fs";
import type { DirectoryEntry } from "../../directory-entry.ts";
import type { Task } from "./file-task.ts";
import {
  checkGuard,
  enterExisting,
  type OpenDirectory,
  temporaryName,
} from "./target-directory.ts";

interface First {
  readonly task: Task;
  state: "under way" | "done" | "lost";
  /** The others, until the first is done. */
  readonly waiting: Task[];
}

export class HardLinks {
  readonly #firsts = new Map<string, First>();

  /** Whether a file is restored by itself: the first of its names, or one that does not fit the first. */
  isFirst(linkId: string, task: Task): boolean {
    const first = this.#firsts.get(linkId);
    if (!first) {
      this.#firsts.set(linkId, { task, state: "under way", waiting: [] });
      return true;
    }
    return !isSameFile(first.task.entry, task.entry);
  }

  /** Notes another name; answers whether its turn has come. */
  wait(linkId: string, task: Task): boolean {
    const first = this.#firsts.get(linkId)!;
    if (first.state === "under way") first.waiting.push(task);
    return first.state !== "under way";
  }

  /** What became of a file; answers the names whose turn has come. */
  settle(linkId: string, task: Task, isThere: boolean): readonly Task[] {
    const first = this.#firsts.get(linkId);
    if (first?.task !== task) return [];
    first.state = isThere ? "done" : "lost";
    return first.waiting.splice(0);
  }

  /** Makes a name a link to the first; false when it must be restored by itself. */
  link(linkId: string, { directory, entry }: Task, root: OpenDirectory): boolean {
    const first = this.#firsts.get(linkId)!;
    if (first.state !== "done") return false;
    const temporaryPath = directory.open.prefix + temporaryName();
    try {
      linkTo(root, first.task, temporaryPath);
    } catch {
      // Another file system below the target, too many links, or a system without them.
      return false;
    }
    try {
      checkGuard(directory.open.guard);
      renameSync(temporaryPath, directory.open.prefix + entry.name);
      // Of two names of one file, rename leaves both.
      unlinkIfThere(temporaryPath);
      return true;
    } catch (error) {
      unlinkIfThere(temporaryPath);
      throw error;
    }
  }
}

function unlinkIfThere(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })) unlinkSync(path);
}

/** Its directory may be closed by now: it is entered again from the root, and no link on the way is followed. */
function linkTo(root: OpenDirectory, { directory, entry }: Task, path: string): void {
  const opened: OpenDirectory[] = [];
  try {
    let from = root;
    for (const name of directory.path === "" ? [] : directory.path.split("/")) {
      from = enterExisting(from, name);
      opened.push(from);
    }
    checkGuard(from.guard);
    linkSync(from.prefix + entry.name, path);
  } finally {
    for (const { fd } of opened) closeSync(fd);
  }
}

/** One file has one owner, mode, time and content, whatever it is called. */
function isSameFile(a: DirectoryEntry, b: DirectoryEntry): boolean {
  return (
    a.objectId === b.objectId &&
    a.sizeBytes === b.sizeBytes &&
    a.mode === b.mode &&
    a.modifiedAtNs === b.modifiedAtNs &&
    a.uid === b.uid &&
    a.gid === b.gid
  );
}
