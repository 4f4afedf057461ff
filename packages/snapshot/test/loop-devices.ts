/** Loop devices and file systems on them, for tests that run as root; everything is undone at the end. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();

export type FileSystemType = "ext4" | "xfs";

/** Bytes of a volume: xfs takes none below 300 MiB. */
export const volumeBytes: Readonly<Record<FileSystemType, number>> = {
  ext4: 64 << 20,
  xfs: 300 << 20,
};

/** Those whose `mkfs` is here; says which is not. */
export function fileSystemTypes(): FileSystemType[] {
  return (["ext4", "xfs"] as const).filter((type) => {
    const found = ["/usr/sbin", "/sbin", "/usr/bin"].some((folder) =>
      existsSync(join(folder, `mkfs.${type}`)),
    );
    if (!found && process.getuid?.() === 0)
      process.stderr.write(`SKIPPED: mkfs.${type} is not on this machine\n`);
    return found;
  });
}

/** Undoes in the opposite order what it was told of. */
export class LoopDevices implements AsyncDisposable {
  readonly folder: string;
  readonly #undo: Array<() => void> = [];
  #count = 0;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(): Promise<LoopDevices> {
    return new LoopDevices(await mkdtemp(join(tmpdir(), "dm-loop-")));
  }

  /** A device over a new image; `fill` is the byte in the first and last MiB and in every 16th between. */
  async device(sizeBytes: number, fill = 0): Promise<string> {
    const image = join(this.folder, `${this.#count++}.img`);
    const file = await open(image, "w");
    await file.truncate(sizeBytes);
    if (fill !== 0) {
      const garbage = new Uint8Array(1 << 20).fill(fill);
      for (let at = 0; at < sizeBytes; at += 16 << 20)
        await file.write(garbage, 0, Math.min(garbage.length, sizeBytes - at), at);
      await file.write(garbage, 0, garbage.length, Math.max(0, sizeBytes - garbage.length));
    }
    await file.close();
    const device = run("losetup", "--find", "--show", image);
    this.#undo.push(() => run("losetup", "--detach", device));
    return device;
  }

  makeFileSystem(type: FileSystemType, device: string): void {
    run(`mkfs.${type}`, "-q", device);
  }

  mount(device: string): { readonly path: string; unmount(): void } {
    const path = join(this.folder, `mount-${this.#count++}`);
    run("mkdir", path);
    run("mount", device, path);
    let isMounted = true;
    const unmount = (): void => {
      if (isMounted) run("umount", path);
      isMounted = false;
    };
    this.#undo.push(unmount);
    return { path, unmount };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const undo of this.#undo.reverse()) undo();
    await rm(this.folder, { recursive: true });
  }
}
