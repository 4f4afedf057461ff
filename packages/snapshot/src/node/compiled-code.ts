/**
 * Where a program keeps its compiled code for the next run, for the threads that it starts: on their own they compile all of
 * their modules anew, 0.05 s of a processor each. Proof: test/compiled-code.test.ts.
 * @module
 */
import { enableCompileCache, getCompileCacheDir } from "node:module";
import { dirname } from "node:path";

/** The folder that the program has chosen; undefined when it keeps nothing. */
export function compiledCodeFolder(): string | undefined {
  const used = getCompileCacheDir();
  // What is answered is the one for this version of Node in it.
  return used === undefined ? undefined : dirname(used);
}

/** For a thread, before it loads its modules; undefined keeps nothing. */
export function useCompiledCode(folder: string | undefined): void {
  if (folder !== undefined) enableCompileCache(folder);
}
