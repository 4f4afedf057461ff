/**
 * What is kept of an entry beyond Kopia's metadata, on request only: extended attributes (ACLs among them) and which names
 * are one file. In additional members of a directory's entries, which Kopia leaves unread.
 * Format: docs/format/directories.md. Proof: test/extended-metadata.test.ts, test/extended-metadata.kopia.test.ts.
 * @module
 */
import { FormatError, fromBase64, isDmError, toBase64, utf8Encode } from "@dm/core";
import { compareUtf8, goJsonString } from "@dm/repo";
import type { RawMember } from "./members.ts";

/** Names are UTF-8, values are bytes. ACLs are attributes called `system.posix_acl_…`. */
export interface ExtendedAttribute {
  readonly name: string;
  readonly value: Uint8Array;
}

/** What `--keep-extended-metadata` keeps of an entry beyond Kopia's metadata. */
export interface ExtendedMetadata {
  readonly attributes: readonly ExtendedAttribute[];
  /** Entries of one snapshot with the same text are names of one file; undefined when there is no other name. */
  readonly linkId?: string | undefined;
}

const attributesMember = "dm:xattrs";
const linkMember = "dm:link";

/** Linux has the same bounds: of a name, of one file's names together, of a value. */
const maxNameBytes = 255;
const maxNamesBytes = 65_536;
const maxValueBytes = 65_536;
const maxLinkIdLength = 64;

/** The members for an entry; none when nothing is to be kept. Equal metadata gives equal texts. */
export function encodeExtendedMetadata({ attributes, linkId }: ExtendedMetadata): RawMember[] {
  const members: RawMember[] = [];
  if (attributes.length > 0) {
    const texts = [...attributes]
      .sort((a, b) => compareUtf8(a.name, b.name))
      .map(({ name, value }) => `${goJsonString(name)}:"${toBase64(value)}"`);
    members.push([attributesMember, `{${texts.join(",")}}`]);
  }
  if (linkId !== undefined) members.push([linkMember, goJsonString(linkId)]);
  return members;
}

/**
 * The extended metadata among the members of an entry that Kopia does not know.
 * @throws {FormatError} `DM_EXTENDED_METADATA_INVALID` when such a member is not of this shape
 */
export function decodeExtendedMetadata(
  members: readonly RawMember[] | undefined,
): ExtendedMetadata {
  let attributes: readonly ExtendedAttribute[] = [];
  let linkId: string | undefined;
  for (const [name, json] of members ?? []) {
    if (name === attributesMember) attributes = attributesOf(JSON.parse(json));
    else if (name === linkMember) linkId = linkIdOf(JSON.parse(json));
  }
  return { attributes, linkId };
}

/** Whether an entry's unknown members say the same as these: what decides if it counts as unchanged. */
export function hasExtendedMetadata(
  members: readonly RawMember[] | undefined,
  expected: readonly RawMember[],
): boolean {
  const own = (members ?? []).filter(([name]) => name === attributesMember || name === linkMember);
  return (
    own.length === expected.length &&
    expected.every(([name, json]) => own.some(([a, b]) => a === name && b === json))
  );
}

function attributesOf(value: unknown): ExtendedAttribute[] {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw refuse(attributesMember, "is not an object");
  let namesBytes = 0;
  return Object.entries(value).map(([name, text]) => {
    const { length } = utf8Encode(name);
    namesBytes += length + 1;
    if (length === 0 || length > maxNameBytes || name.includes("\0"))
      throw refuse(attributesMember, `has a name of ${length} bytes, or one with a zero byte`);
    if (namesBytes > maxNamesBytes)
      throw refuse(attributesMember, `has names of more than ${maxNamesBytes} bytes`);
    return { name, value: attributeValueOf(name, text) };
  });
}

function attributeValueOf(name: string, text: unknown): Uint8Array {
  // A text of 4 characters stands for 3 bytes.
  if (typeof text !== "string" || text.length > Math.ceil(maxValueBytes / 3) * 4)
    throw refuse(attributesMember, `has no text, or too long a one, for ${JSON.stringify(name)}`);
  let value: Uint8Array;
  try {
    value = fromBase64(text);
  } catch (cause) {
    if (!isDmError(cause)) throw cause;
    throw refuse(attributesMember, `has no base64 for ${JSON.stringify(name)}`, cause);
  }
  if (value.length > maxValueBytes)
    throw refuse(attributesMember, `has a value of more than ${maxValueBytes} bytes`);
  return value;
}

function linkIdOf(value: unknown): string {
  if (typeof value !== "string" || value === "" || value.length > maxLinkIdLength)
    throw refuse(linkMember, `is no text of 1 to ${maxLinkIdLength} characters`);
  return value;
}

function refuse(member: string, why: string, cause?: unknown): FormatError {
  return new FormatError(
    "DM_EXTENDED_METADATA_INVALID",
    `the member ${member} of a directory's entry ${why}`,
    { member },
    { cause },
  );
}
