/**
 * The programs of the system that make copies, file systems, loop devices and mounts.
 * Proof: test/csi/image-volume.root.test.ts.
 * @module
 */
import { execFile } from "node:child_process";
import { StorageError } from "@dm/core";

/**
 * Runs a program to its end and returns what it printed.
 * @throws {StorageError} `DM_CSI_COMMAND_FAILED` with what it said
 */
export function command(program: string, ...args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    // Daemons' programs are not on everybody's path.
    const env = { ...process.env, LC_ALL: "C", PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` };
    execFile(program, args, { env, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      if (!error) return resolve(stdout.trim());
      const said = stderr.trim() || error.message;
      reject(
        new StorageError(
          "DM_CSI_COMMAND_FAILED",
          `${program} ${args.join(" ")}: ${said}`,
          { program, exitCode: error.code ?? null },
          { cause: error },
        ),
      );
    });
  });
}
