/**
 * Who may do what: access keys with secrets, temporary ones with tokens that run out, and the few permissions that tell
 * the roles of a repository apart.
 * Proof: test/testing-s3-roles.test.ts.
 * @module
 */

/**
 * What a key may do: `list` keys and versions of a bucket; `read` objects, their metadata and retention; `write` objects;
 * `delete` objects and versions; `retain`: set retention and legal holds; `bypass` governance retention; `admin`: create,
 * configure and delete buckets.
 */
export type Permission = "list" | "read" | "write" | "delete" | "retain" | "bypass" | "admin";

export const allPermissions: readonly Permission[] = [
  "list",
  "read",
  "write",
  "delete",
  "retain",
  "bypass",
  "admin",
];

/** Enough to restore. */
export const readerPermissions: readonly Permission[] = ["list", "read"];

/** Enough to back up: nothing can be deleted (a put may replace, which a versioned bucket undoes). */
export const writerPermissions: readonly Permission[] = ["list", "read", "write", "retain"];

export interface AccessKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Must then come with every request, as temporary credentials do. */
  readonly sessionToken?: string | undefined;
  /** From then on, in milliseconds of the server's clock, requests are refused with `ExpiredToken`. */
  readonly expiresAtMs?: number | undefined;
  /** {@link allPermissions} by default. */
  readonly permissions?: readonly Permission[] | undefined;
  /** Buckets that the key may use; all by default. */
  readonly buckets?: readonly string[] | undefined;
  /** Only keys under this prefix may be read, written and deleted, and only prefixes that begin so listed. */
  readonly keyPrefix?: string | undefined;
}

/** The key of servers that were given none. */
export const testAccessKey: AccessKey = {
  accessKeyId: "AKIATESTTESTTESTTEST",
  secretAccessKey: "test-secret-access-key-for-loopback-only",
};

/** Whether the key holds the permission for this bucket, and for this object key or list prefix. */
export function mayDo(
  key: AccessKey,
  permission: Permission,
  bucket: string,
  objectKey: string,
): boolean {
  const { buckets, keyPrefix = "", permissions = allPermissions } = key;
  if (!permissions.includes(permission)) return false;
  if (bucket !== "" && buckets !== undefined && !buckets.includes(bucket)) return false;
  return permission === "admin" || objectKey.startsWith(keyPrefix);
}
