/**
 * A set of contents at one bit each: by their positions in a merged index, which it must outlive unchanged.
 * Memory: an eighth of a byte for each entry of the index. Proof: test/content-marks.test.ts.
 * @module
 */
import type { ContentId } from "../content-id.ts";
import type { MergedIndex } from "./merged.ts";

export class ContentMarks {
  /** The index that the marks belong to. */
  readonly index: MergedIndex;
  readonly #bits: Uint8Array;
  #count = 0;

  constructor(index: MergedIndex) {
    this.index = index;
    this.#bits = new Uint8Array((index.entryCount + 7) >> 3);
  }

  /** Contents that are marked. */
  get count(): number {
    return this.#count;
  }

  /** Marks a content, and tells whether it was not marked before; undefined when the index does not have it. */
  add(id: ContentId): boolean | undefined {
    const position = this.index.positionOf(id);
    if (position < 0) return undefined;
    const bit = 1 << (position & 7);
    const at = position >>> 3;
    if ((this.#bits[at]! & bit) !== 0) return false;
    this.#bits[at]! |= bit;
    this.#count += 1;
    return true;
  }

  has(id: ContentId): boolean {
    const position = this.index.positionOf(id);
    return position >= 0 && (this.#bits[position >>> 3]! & (1 << (position & 7))) !== 0;
  }
}
