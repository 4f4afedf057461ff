/**
 * Names of objects: what they may look like, and the ones that the server makes up.
 * Proof: test/api-server/registry.test.ts.
 * @module
 */
import { systemRandomBytes } from "@dm/core";
import type { ObjectMeta } from "../kube-object.ts";
import { invalid } from "./api-error.ts";
import type { ApiKind } from "./api-kind.ts";

/** Letters of generated names: no vowels, and nothing that is easily misread. */
const nameLetters = "bcdfghjklmnpqrstvwxz2456789";
const nameSuffixLength = 5;
const nameTries = 8;

/** `generateName` with letters behind it; tried again a few times where the name is taken. */
export function generateName(
  metadata: Partial<ObjectMeta>,
  isTaken: (name: string) => boolean,
): string {
  const prefix = String(metadata["generateName"]).slice(0, 63 - nameSuffixLength);
  let name = "";
  for (let tries = 0; tries < nameTries; tries++) {
    name = prefix;
    for (const byte of systemRandomBytes(nameSuffixLength)) {
      name += nameLetters[byte % nameLetters.length];
    }
    if (!isTaken(name)) break;
  }
  return name;
}

/** @throws {ApiError} 422 */
export function checkName(kind: ApiKind, metadata: ObjectMeta): void {
  const { name } = metadata;
  const field = "metadata.name";
  if (!name) {
    const message = "Required value: name or generateName is required";
    throw invalid(kind, "", [{ reason: "FieldValueRequired", field, message }]);
  }
  const message = wrongName(kind, name);
  if (message === undefined) return;
  throw invalid(kind, name, [
    {
      reason: "FieldValueInvalid",
      field,
      message: `Invalid value: ${JSON.stringify(name)}: ${message}`,
    },
  ]);
}

const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

function wrongName(kind: ApiKind, name: string): string | undefined {
  if (kind.group === "rbac.authorization.k8s.io") {
    return name === "." || name === ".." || /[/%]/.test(name)
      ? "may not contain '/' or '%'"
      : undefined;
  }
  if (kind.plural === "namespaces" || kind.plural === "services") {
    if (label.test(name) && name.length <= 63) return undefined;
    return "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
  }
  if (name.length > 253) return "must be no more than 253 bytes";
  if (subdomain.test(name)) return undefined;
  return "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
}
