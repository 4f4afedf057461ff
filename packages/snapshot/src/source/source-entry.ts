/**
 * What is backed up, as an uploader sees it: entries with their metadata, whose data is read later. A local file system is
 * one source (`@dm/snapshot/node`), a tree in memory another.
 * @module
 */
import type { CallOptions } from "@dm/storage";
import type { ExtendedMetadata } from "../extended-metadata.ts";

/** A path of this machine; bytes where it is not UTF-8. */
export type LocalPath = string | Uint8Array;

/** What a file system tells of an entry before its data is read. */
export interface SourceMetadata {
  /** Base name, as it is stored: each byte that is not UTF-8 has become U+FFFD. */
  readonly name: string;
  /** Permission bits, setuid, setgid and sticky in POSIX numbering: 0 to 0o7777. */
  readonly mode: number;
  /** Of a file, or of a link's target. */
  readonly sizeBytes: number;
  /** Nanoseconds since 1970. */
  readonly modifiedAtNs: bigint;
  readonly uid: number;
  readonly gid: number;
  /** Which file system it lies on, for policies that stay on one; undefined where there are no such things. */
  readonly deviceId?: bigint | undefined;
  /** Known to differ from what previous snapshots have, whatever its size and time say: its data is read. */
  readonly isChanged?: boolean | undefined;
  /** Where it lies on this machine, when it does. */
  readonly localPath?: LocalPath | undefined;
  /**
   * Attributes and hard links, where the source was asked to keep them; undefined otherwise. Takes microseconds.
   * @throws when they cannot be read
   */
  readExtendedMetadata?(): ExtendedMetadata | undefined;
}

/** A directory, which lists what is in it when it is asked. */
export interface SourceDirectory extends SourceMetadata {
  readonly type: "d";
  /**
   * Everything in it, in any order. What has vanished meanwhile is left out; what cannot be looked at is a failure.
   * @throws when the directory itself cannot be read
   */
  list(options?: CallOptions): Promise<readonly SourceEntry[]>;
}

/** A file, whose data is read when it is asked for. */
export interface SourceFile extends SourceMetadata {
  readonly type: "f";
  /** Data that has no size and no identity before it is read, as a pipe's or a device's: it never counts as unchanged. */
  readonly isStream?: boolean | undefined;
  /** Its bytes from an offset (0 by default) on; slices are borrowed until the next is asked for. */
  read(options?: CallOptions & { readonly from?: number | undefined }): AsyncIterable<Uint8Array>;
}

/** A symbolic link, never followed. */
export interface SourceLink extends SourceMetadata {
  readonly type: "s";
  /** The target's text, as bytes. */
  readTarget(options?: CallOptions): Promise<Uint8Array>;
  /** What it leads to, in the end; missing where links lead nowhere. For links to files of ignore rules. */
  follow?(options?: CallOptions): Promise<SourceEntry>;
}

/** A device, a pipe, a socket: nothing that Kopia stores. */
export interface SourceSpecial extends SourceMetadata {
  readonly type: "special";
}

/** An entry that cannot be looked at. */
export interface SourceFailure {
  readonly type: "failure";
  readonly name: string;
  /** Decides which error policy counts. */
  readonly isDirectory: boolean;
  readonly error: unknown;
}

export type SourceEntry = SourceDirectory | SourceFile | SourceLink | SourceSpecial | SourceFailure;
