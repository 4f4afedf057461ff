// An SFTP server over a pair of streams, its files in memory: as much of version 3 as a store needs, with faults on demand.
import { PassThrough, type Readable, type Writable } from "node:stream";
import {
  encodeMessage,
  type Field,
  FieldReader,
  MessageAssembler,
  messageType,
  statusCode,
} from "../src/sftp/sftp-messages.ts";
import type { SftpChannel } from "../src/sftp/sftp-session.ts";

interface MemoryFile {
  bytes: Uint8Array;
  seconds: number;
}

export interface MemoryTree {
  readonly files: Map<string, MemoryFile>;
  readonly directories: Set<string>;
  /** Names of requests, in order. */
  readonly requests: string[];
  extensions: string[];
  /** A status in place of the work, `cut` the connection before it, `cut after`, or `silence`. */
  fault(request: string, path: string): number | "cut" | "cut after" | "silence" | undefined;
  freeBytes: number;
  /** Bytes in one answer to a read; servers may give fewer than asked for. */
  maxReadBytes: number;
  /** Servers need not tell the length of a file. */
  tellsLengths: boolean;
}

export function memoryTree(...directories: string[]): MemoryTree {
  return {
    files: new Map(),
    directories: new Set(directories),
    requests: [],
    extensions: ["posix-rename", "fsync", "hardlink", "statvfs"].map((n) => `${n}@openssh.com`),
    fault: () => undefined,
    freeBytes: 1 << 30,
    maxReadBytes: 1 << 20,
    tellsLengths: true,
  };
}

interface Open {
  readonly path: string;
  readonly names: string[] | undefined;
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/")) || "/";
const raw = (fields: readonly Field[]): { raw: Uint8Array } => ({
  raw: encodeMessage(0, fields).subarray(5),
});

/** Serves until the streams end; `cut` is called to break the connection. */
export function serveSftp(tree: MemoryTree, input: Readable, output: Writable, cut: () => void) {
  const assembler = new MessageAssembler();
  const handles = new Map<number, Open>();
  let nextHandle = 1;
  const now = (): number => Math.floor(Date.now() / 1000);

  const attributes = (path: string): readonly Field[] | undefined => {
    if (tree.directories.has(path)) return [4 | 8, 0o040755, now(), now()];
    const file = tree.files.get(path);
    if (file && !tree.tellsLengths) return [4 | 8, 0o100644, file.seconds, file.seconds];
    return file && [1 | 4 | 8, BigInt(file.bytes.length), 0o100644, file.seconds, file.seconds];
  };

  function work(type: number, reader: FieldReader): [number, ...Field[]] {
    const status = (code: number): [number, ...Field[]] => [messageType.status, code, "said", ""];
    const ok = status(statusCode.ok);
    const missing = status(statusCode.noSuchFile);
    const failure = status(statusCode.failure);
    const handleOf = (): Open | undefined =>
      handles.get(new DataView(new Uint8Array(reader.bytes()).buffer).getUint32(0));
    const opened = (path: string, names?: string[]): [number, ...Field[]] => {
      handles.set(nextHandle, { path, names });
      const handle = new Uint8Array(4);
      new DataView(handle.buffer).setUint32(0, nextHandle++);
      return [messageType.handle, handle];
    };
    switch (type) {
      case messageType.open: {
        const path = reader.text();
        if ((reader.uint32() & 8) === 0) return tree.files.has(path) ? opened(path) : missing;
        if (!tree.directories.has(parentOf(path))) return missing;
        if (tree.files.has(path)) return failure;
        tree.files.set(path, { bytes: new Uint8Array(0), seconds: now() });
        return opened(path);
      }
      case messageType.close:
        return handleOf() ? ok : failure;
      case messageType.read: {
        const file = tree.files.get(handleOf()?.path ?? "");
        const from = Number(reader.uint64());
        const bytes = file?.bytes.subarray(
          from,
          from + Math.min(tree.maxReadBytes, reader.uint32()),
        );
        if (!bytes?.length) return status(statusCode.endOfFile);
        return [messageType.data, bytes];
      }
      case messageType.write: {
        const file = tree.files.get(handleOf()?.path ?? "");
        if (!file) return failure;
        const from = Number(reader.uint64());
        const data = reader.bytes();
        const end = from + data.length;
        if (end > file.bytes.length) {
          // Room for what follows, as files grow piece by piece.
          const room = new Uint8Array(file.bytes.buffer.byteLength >= end ? 0 : end * 2);
          if (room.length > 0) room.set(file.bytes);
          const whole = room.length > 0 ? room : new Uint8Array(file.bytes.buffer);
          file.bytes = whole.subarray(0, end);
        }
        file.bytes.set(data, from);
        return ok;
      }
      case messageType.fstat:
        return [messageType.attributes, raw(attributes(handleOf()?.path ?? "") ?? [0])];
      case messageType.fsetstat: {
        const file = tree.files.get(handleOf()?.path ?? "");
        reader.uint32();
        reader.uint32();
        if (file) file.seconds = reader.uint32();
        return ok;
      }
      case messageType.openDirectory: {
        const path = reader.text();
        if (!tree.directories.has(path)) return missing;
        const below = [...tree.directories, ...tree.files.keys()].filter(
          (name) => name !== path && parentOf(name) === path,
        );
        return opened(path, [".", "..", ...below.map((name) => name.split("/").at(-1)!)]);
      }
      case messageType.readDirectory: {
        const open = handleOf();
        const names = open?.names?.splice(0, 100) ?? [];
        if (names.length === 0) return status(statusCode.endOfFile);
        const entries = names.flatMap((name) => [
          name,
          "",
          raw(attributes(`${open!.path}/${name}`) ?? [0]),
        ]);
        return [messageType.name, names.length, ...entries];
      }
      case messageType.remove:
        return tree.files.delete(reader.text()) ? ok : missing;
      case messageType.makeDirectory: {
        const path = reader.text();
        if (tree.directories.has(path)) return failure;
        if (!tree.directories.has(parentOf(path)) && parentOf(path) !== "/") return missing;
        tree.directories.add(path);
        return ok;
      }
      case messageType.stat: {
        const found = attributes(reader.text());
        return found ? [messageType.attributes, raw(found)] : missing;
      }
      case messageType.extended: {
        const name = reader.text();
        if (!tree.extensions.includes(name)) return status(statusCode.unsupported);
        if (name.startsWith("fsync")) return ok;
        if (name.startsWith("statvfs")) {
          const free = BigInt(tree.freeBytes);
          const facts = [1n, 1n, 1n << 40n, free, free, 0n, 0n, 0n, 0n, 0n, 255n];
          return [messageType.extendedReply, raw(facts)];
        }
        const [from, to] = [reader.text(), reader.text()];
        const file = tree.files.get(from);
        if (!file) return missing;
        if (name.startsWith("hardlink") && tree.files.has(to)) return failure;
        tree.files.set(to, file);
        if (!name.startsWith("hardlink")) tree.files.delete(from);
        return ok;
      }
    }
    return status(statusCode.unsupported);
  }

  const names = Object.fromEntries(Object.entries(messageType).map(([name, type]) => [type, name]));
  input.on("data", (piece: Uint8Array) => {
    for (const { body, type } of assembler.add(piece)) {
      if (type === messageType.init) {
        const announced = tree.extensions.flatMap((name) => [name, "1"]);
        output.write(encodeMessage(messageType.version, [3, ...announced]));
        continue;
      }
      const id = new FieldReader(body).uint32();
      const fields = body.subarray(4);
      const first = new TextDecoder().decode(new FieldReader(fields).bytes());
      const request = type === messageType.extended ? first.split("@")[0]! : names[type]!;
      tree.requests.push(request);
      const fault = tree.fault(request, first);
      if (fault === "silence") continue;
      if (fault === "cut") return cut();
      const answer =
        typeof fault === "number"
          ? ([messageType.status, fault, "injected", ""] as const)
          : work(type, new FieldReader(fields));
      if (fault === "cut after") return cut();
      const [answerType, ...rest] = answer;
      output.write(encodeMessage(answerType, [id, ...rest]));
    }
  });
}

/** A channel to such a server in this process. */
export function memoryChannel(tree: MemoryTree): SftpChannel {
  const toServer = new PassThrough();
  const toClient = new PassThrough();
  const cut = (): void => {
    toServer.destroy();
    toClient.destroy();
  };
  serveSftp(tree, toServer, toClient, cut);
  return { input: toClient, output: toServer, close: cut };
}
