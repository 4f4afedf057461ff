/**
 * Keeps secrets out of what is given to others: known values of Secrets wherever they are, and whatever looks like a secret in
 * variables, annotations, arguments, settings and lines of logs.
 * Proof: test/why/redact.test.ts.
 * @module
 */
import type { KubeObject, Secret } from "@dm/crds";
import { valueAt } from "./seen.ts";

const blot = "***";
/** Shorter values would blank out ordinary words. */
const shortest = 6;
const mostValues = 20_000;

const secretName =
  /(pass(word|wd|phrase)?|secret|token|credentials?|api[-_]?key|access[-_]?key([-_]?id)?|account[-_]?key|storage[-_]?key|private[-_]?key|encryption[-_]?key|customer[-_]?key|signature|authorization|sas)$/i;
/** What ends like a secret and names one, or says how it is used. */
const harmlessName =
  /^(secretName|credentialsSecret|imagePullSecrets?|secretRef|keyID|kmsKeyId|enableSharedConfig|automountServiceAccountToken|serviceAccountToken|nodePublishSecretRef|name)$/i;

/** Names of what is secret, as programs print them. */
const names = [
  "pass(?:word|wd|phrase)",
  "secret[-_]?(?:access[-_]?)?key",
  "access[-_]?key(?:[-_]?id)?",
  "(?:session|security|access|refresh|id)[-_]?token",
  "client[-_]?secret",
  "(?:account|storage|api|private)[-_]?key",
  "sas[-_]?token",
  "shared[-_]?access[-_]?signature",
].join("|");

const patterns: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g, blot],
  // A password may have slashes in it, whatever the rules say.
  [/(\w+:\/\/)(?:[^\s/@"'\\]+|[^\s/:@"'\\]+:[^\s@"'\\]+)@/g, `$1${blot}@`],
  [
    /([?&](?:sig|se?cret|token|X-Amz-(?:Signature|Credential|Security-Token)|X-Goog-(?:Signature|Credential)|Signature|AWSAccessKeyId)=)[^&\s"'<>\\]+/gi,
    `$1${blot}`,
  ],
  // Whatever the scheme: all of the rest of the header.
  [/(\b(?:proxy-)?authorization\b["']?\s*[:=]\s*["']?)[^"'\n\\]+/gi, `$1${blot}`],
  [/(\bBearer\s+)[\w.~+/=-]{6,}/gi, `$1${blot}`],
  [/\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}\b/g, blot],
  [/\beyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*/g, blot],
  [
    new RegExp(`((?:${names})\\\\?["']?\\s*[:=]\\s*\\\\?["']?)([^\\s"',;&\\\\}]{4,})`, "gi"),
    `$1${blot}`,
  ],
  [new RegExp(`(--?(?:${names})\\s+)(\\S+)`, "gi"), `$1${blot}`],
];

export interface Redactor {
  text(text: string): string;
  /** A copy of the object, without what nobody needs to read: `managedFields` and what was applied last. */
  object(object: KubeObject): KubeObject;
}

/** With the values of the given Secrets, which are taken out of everything. */
export function createRedactor(secrets: readonly Secret[] = []): Redactor {
  const values = new Set<string>();
  for (const secret of secrets) for (const value of valuesOf(secret)) values.add(value);
  // The longest first: one may be part of another.
  const known = [...values].sort((a, b) => b.length - a.length).slice(0, mostValues);
  const text = (given: string): string => {
    let clean = given;
    for (const value of known) if (clean.includes(value)) clean = clean.replaceAll(value, blot);
    for (const [pattern, by] of patterns) clean = clean.replace(pattern, by);
    return clean;
  };
  return { text, object: (object) => cleanObject(object, text) };
}

/** What everybody may know, and what would make all of the rest unreadable without it. */
const publicName =
  /^(region|profile|output|type|project_id|AZURE_CLOUD_NAME|AZURE_RESOURCE_GROUP|bucket|namespace|endpoint|host(name)?|port|user(name)?|data(base)?|dbname|provider|name|kind|apiVersion)$/i;
const plainWord = /^[a-z0-9.-]+$/;

function valuesOf({ data = {}, stringData = {} }: Secret): string[] {
  const found: string[] = [];
  const plain = [
    ...Object.entries(data).map(([key, base64]) => [key, decoded(base64), base64] as const),
    ...Object.entries(stringData).map(([key, text]) => [key, text, ""] as const),
  ];
  for (const [key, whole, base64] of plain) {
    const text = whole.trim();
    if (/^(ca\.crt|service-ca\.crt|tls\.crt)$/.test(key)) continue;
    if (publicName.test(key) && plainWord.test(text)) continue;
    found.push(text, base64, ...jsonValues(text));
    const lines = text.split(/\r?\n/);
    if (lines.length > 1 || /^[\w.-]+\s*=/.test(text))
      found.push(...lines.flatMap((line) => valuesOfLine(line.trim())));
  }
  return found.filter((value) => value.length >= shortest);
}

/** `name = value` of a credentials file; of other lines, which may be of any document, those that look like keys. */
function valuesOfLine(line: string): string[] {
  const match = /^["']?([\w.-]+)["']?\s*[=:]\s*(.*)$/.exec(line);
  const value = (match?.[2] ?? line)
    .trim()
    .replace(/,$/, "")
    .replace(/^["']|["']$/g, "");
  const name = match?.[1] ?? "";
  if (publicName.test(name)) return [];
  const looksRandom = value.length >= 12 && !/\s/.test(value) && /\d/.test(value);
  return secretName.test(name) || looksRandom ? [value] : [];
}

/** Keys of service accounts are JSON; line ends in a private key are written as two characters there. */
function jsonValues(text: string): string[] {
  if (!text.trimStart().startsWith("{")) return [];
  try {
    const value: unknown = JSON.parse(text);
    return Object.entries(value as object).flatMap(([name, one]) =>
      typeof one === "string" && secretName.test(name.replace(/_id$/, "")) ? [one] : [],
    );
  } catch {
    return [];
  }
}

function decoded(base64: string): string {
  return Buffer.from(base64, "base64").toString("utf8");
}

function cleanObject(object: KubeObject, text: (given: string) => string): KubeObject {
  const { managedFields, ...metadata } = object.metadata;
  const annotations = Object.fromEntries(
    Object.entries(metadata.annotations ?? {}).flatMap(([name, value]) =>
      name.endsWith("/last-applied-configuration")
        ? []
        : [[name, isSecretName(name) ? blot : text(value)]],
    ),
  );
  if (object.kind === "Secret") return secretByName(object);
  const copy = clean({ ...object, metadata: { ...metadata, annotations: {} } }, "", text);
  const { metadata: own, ...rest } = copy as KubeObject;
  return { ...rest, metadata: { ...own, ...(metadata.annotations && { annotations }) } };
}

/** Of a Secret nothing but its names. */
function secretByName(object: KubeObject): KubeObject {
  const { name, namespace } = object.metadata;
  const type = valueAt(object, "type");
  const metadata = { ...(name && { name }), ...(namespace && { namespace }) };
  return { kind: "Secret", metadata, ...(typeof type === "string" ? { type } : {}) } as KubeObject;
}

const isSecretName = (name: string): boolean =>
  secretName.test(name) && !harmlessName.test(name) && !name.startsWith("KOPIA_HASHING");

function clean(value: unknown, name: string, text: (given: string) => string): unknown {
  if (typeof value === "string") return isSecretName(name) ? blot : cleanText(value, text);
  if (Array.isArray(value)) return value.map((one) => clean(one, "", text));
  if (typeof value !== "object" || value === null) return value;
  const fields = value as Readonly<Record<string, unknown>>;
  // A variable of a container, whose name stands beside its value.
  const variable = fields["name"];
  const isVariable = typeof variable === "string" && typeof fields["value"] === "string";
  return Object.fromEntries(
    Object.entries(fields).map(([key, one]) => {
      if (key === "value" && isVariable && isSecretName(variable)) return [key, blot];
      // Certificates are public, and long.
      if (key === "caCert" && typeof one === "string") return [key, `(${one.length} characters)`];
      return [key, clean(one, key, text)];
    }),
  );
}

/** Settings in JSON are texts, in which names and values are found as in objects. */
function cleanText(value: string, text: (given: string) => string): string {
  if (!/^\s*[{[]/.test(value)) return text(value);
  try {
    return JSON.stringify(clean(JSON.parse(value), "", text));
  } catch {
    return text(value);
  }
}
