/**
 * What a volume's bytes are kept as, under a folder of its own. Four kinds exist, each with its own promise of what a copy of it
 * is: a directory tree, a file system (ext4, xfs) in an image file, and a raw image.
 * Proof: test/csi/volume-content.test.ts, test/csi/image-volume.root.test.ts.
 * @module
 */
import { directoryContent } from "./directory-content.ts";
import { fileSystemContent } from "./file-system-content.ts";
import { rawContent } from "./raw-content.ts";

export const contentKinds = ["directory", "ext4", "xfs", "raw"] as const;
export type ContentKind = (typeof contentKinds)[number];

export interface VolumeContent {
  /** Least size in bytes; smaller requests get this. */
  readonly leastBytes: number;
  /** One sentence for people: what a snapshot of it is, and whether its size is a limit. */
  readonly description: string;
  /** Makes an empty volume in an empty folder. */
  create(folder: string, sizeBytes: number): Promise<void>;
  /** Copies into an empty folder. Nobody may write meanwhile: see `quiesce`, and the writers' freeze. */
  copy(from: string, to: string): Promise<void>;
  /** Gives it more room. False when the file system follows only the next time that it is staged. */
  expand(folder: string, sizeBytes: number): Promise<boolean>;
  /** Makes it usable and returns the path of its directory, file or device. May be repeated. */
  stage(folder: string): Promise<string>;
  /** Undoes `stage`; false when somebody still has it open, and then nothing was undone. */
  unstage(folder: string): Promise<boolean>;
  /** Brings what was written to the copied file, and holds the file system still until the result is called. */
  quiesce(folder: string): Promise<() => Promise<void>>;
}

export interface ContentOptions {
  /** Root on Linux: loop devices and mounts are there. */
  readonly canMount: boolean;
}

export function createContents(
  options: ContentOptions,
): Readonly<Record<ContentKind, VolumeContent>> {
  return {
    directory: directoryContent(),
    ext4: fileSystemContent("ext4"),
    xfs: fileSystemContent("xfs"),
    raw: rawContent(options),
  };
}
