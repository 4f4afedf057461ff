/**
 * When which object was read to its end and found sound: what a verification hands to the next one, so that it goes on where
 * the last one was cut off, or where its share ended. Stored as lines of JSON that are appended while it runs; a last line
 * that was cut off does not count. About 45 bytes an object in the file, 100 in memory. Proof: test/read-proofs.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";
import { formatTime, parseTime } from "@dm/repo";

const version = 1;

interface Head {
  readonly version: number;
  readonly repository: string;
  readonly seed: string;
}

/**
 * What verifications have read. Hand it to `verifySnapshots`, and append what `takeUnwritten` answers to a file.
 * @example
 * const proofs = new ReadProofs(toHex(repository.uniqueId), toHex(repository.randomBytes(8)));
 * await verifySnapshots(repository, snapshots, { proofs });
 * await appendFile("proofs", proofs.takeUnwritten());
 */
export class ReadProofs {
  /** Unique id of the repository, hexadecimal. */
  readonly repositoryId: string;
  /** By which shares are chosen; the same in all runs. */
  readonly seed: string;
  readonly #readAtNs = new Map<string, bigint>();
  #nextFrom = 0;
  #new: { at: bigint; objects: string[] } | undefined;
  #unwritten: string;

  constructor(repositoryId: string, seed: string) {
    this.repositoryId = repositoryId;
    this.seed = seed;
    const head: Head = { version, repository: repositoryId, seed };
    this.#unwritten = `${JSON.stringify(head)}\n`;
  }

  /**
   * @throws {FormatError} `DM_PROOFS_INVALID` when it is something else, or of a newer version
   */
  static parse(text: string): ReadProofs {
    const lines = text.split("\n");
    // Behind the last newline stands nothing, or what a crash has cut off.
    lines.pop();
    const head = parseLine(lines[0] ?? "") as Partial<Head>;
    if (head.version !== version || !isText(head.repository) || !isText(head.seed))
      throw invalid("its first line is no head of version 1");
    const proofs = new ReadProofs(head.repository, head.seed);
    for (const line of lines.slice(1)) proofs.#take(parseLine(line));
    proofs.#unwritten = "";
    return proofs;
  }

  #take(line: Readonly<Record<string, unknown>>): void {
    const { at, from, read } = line;
    if (typeof from === "number" && from >= 0 && from < 1) this.#nextFrom = from;
    if (read === undefined) return;
    if (!isText(at) || !Array.isArray(read) || !read.every(isText))
      throw invalid("a line has no list of objects");
    const atNs = timeOf(at);
    for (const objectId of read) this.#readAtNs.set(objectId, atNs);
  }

  /** Objects of which it knows. */
  get size(): number {
    return this.#readAtNs.size;
  }

  /** Where the next share begins. */
  get nextFrom(): number {
    return this.#nextFrom;
  }

  set nextFrom(from: number) {
    this.#closeBatch();
    this.#nextFrom = from;
    this.#unwritten += `${JSON.stringify({ from })}\n`;
  }

  /** When an object was last read; undefined when never. */
  readAtNs(objectId: string): bigint | undefined {
    return this.#readAtNs.get(objectId);
  }

  /** All that are added between two calls of `takeUnwritten` get the time of the first: no proof looks younger than it is. */
  add(objectId: string, atNs: bigint): void {
    this.#new ??= { at: atNs, objects: [] };
    this.#new.objects.push(objectId);
    this.#readAtNs.set(objectId, this.#new.at);
  }

  /** Lines to append to what is stored, everything since the last call; of a new one also its head. */
  takeUnwritten(): string {
    this.#closeBatch();
    const text = this.#unwritten;
    this.#unwritten = "";
    return text;
  }

  #closeBatch(): void {
    if (!this.#new) return;
    const { at, objects } = this.#new;
    this.#new = undefined;
    this.#unwritten += `${JSON.stringify({ at: formatTime(at), read: objects })}\n`;
  }

  /** The same with these objects only: for a run over all snapshots, which knows that the others are gone. */
  only(objectIds: Iterable<string>): ReadProofs {
    const kept = new ReadProofs(this.repositoryId, this.seed);
    const byTime = new Map<bigint, string[]>();
    for (const objectId of objectIds) {
      const atNs = this.#readAtNs.get(objectId);
      if (atNs === undefined) continue;
      kept.#readAtNs.set(objectId, atNs);
      const others = byTime.get(atNs);
      if (others) others.push(objectId);
      else byTime.set(atNs, [objectId]);
    }
    for (const [at, objects] of byTime) {
      kept.#new = { at, objects };
      kept.#closeBatch();
    }
    kept.nextFrom = this.#nextFrom;
    return kept;
  }
}

const isText = (value: unknown): value is string => typeof value === "string";

function parseLine(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw invalid("a line is no JSON object");
}

function timeOf(text: string): bigint {
  try {
    return parseTime(text);
  } catch (cause) {
    throw invalid("a line has no time", cause);
  }
}

function invalid(why: string, cause?: unknown): FormatError {
  return new FormatError("DM_PROOFS_INVALID", `not proofs of reading: ${why}`, {}, { cause });
}
