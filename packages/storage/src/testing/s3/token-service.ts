/**
 * The part of Amazon's token service that repositories use: temporary keys, against a web identity token, as Kubernetes puts
 * it into a file, or for a role that the holder of a key may take on.
 * Proof: test/testing-s3-roles.test.ts.
 * @module
 */
import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { AccessKey, Permission } from "./access-key.ts";
import { refuse, S3Refusal } from "./refusal.ts";
import type { S3Answer } from "./request.ts";
import { authenticate, sha256Hex } from "./signature.ts";
import type { Target } from "./uri.ts";
import { tag } from "./xml.ts";

/** A token that is accepted, and what the keys that are given out for it may do. */
export interface WebIdentity {
  readonly token: string;
  /** The role that must be asked for; any by default. */
  readonly roleArn?: string | undefined;
  readonly permissions?: readonly Permission[] | undefined;
}

/** A role that every key of the server may take on. */
export interface AssumableRole {
  readonly roleArn: string;
  readonly permissions?: readonly Permission[] | undefined;
}

export interface TokenServiceOptions {
  readonly identities: readonly WebIdentity[];
  readonly roles: readonly AssumableRole[];
  readonly nowMs: number;
  readonly findKey: (accessKeyId: string) => AccessKey | undefined;
  readonly addKey: (key: AccessKey) => void;
}

const namespace = "https://sts.amazonaws.com/doc/2011-06-15/";
const maxFormBytes = 65_536;

/** Whether a request is meant for the token service: its parameters come in a form, or in the query. */
export function isTokenRequest(
  { method }: IncomingMessage,
  { path, query }: Target,
  headers: ReadonlyMap<string, string>,
): boolean {
  const form = headers.get("content-type")?.startsWith("application/x-www-form-urlencoded");
  return method === "POST" && path === "/" && (form === true || query.has("Action"));
}

export async function answerTokenRequest(
  request: IncomingMessage,
  { path, query }: Target,
  headers: ReadonlyMap<string, string>,
  options: TokenServiceOptions,
): Promise<S3Answer> {
  const { addKey, findKey, identities, nowMs, roles } = options;
  let form = "";
  for await (const piece of request as AsyncIterable<Buffer>) {
    form += piece.toString("latin1");
    if (form.length > maxFormBytes)
      throw refuse("MaxMessageLengthExceeded", { headers: { connection: "close" } });
  }
  const parameters = new URLSearchParams(form);
  const parameter = (name: string): string => parameters.get(name) ?? query.get(name) ?? "";
  const action = parameter("Action");
  const roleArn = parameter("RoleArn");
  const seconds = Number(parameter("DurationSeconds") || "3600");
  if (!(Number.isInteger(seconds) && seconds >= 1 && seconds <= 43_200))
    return denied(400, "ValidationError", "DurationSeconds is out of range.");

  let granted: { readonly permissions?: readonly Permission[] | undefined } | undefined;
  if (action === "AssumeRoleWithWebIdentity") {
    granted = identities.find(
      ({ roleArn: role, token }) =>
        token === parameter("WebIdentityToken") && (role === undefined || role === roleArn),
    );
    if (granted === undefined)
      return denied(400, "InvalidIdentityToken", "The web identity token is not known here.");
  } else if (action === "AssumeRole") {
    try {
      const payload = sha256Hex(Buffer.from(form, "latin1"));
      authenticate(
        { method: "POST", path, query, headers },
        { findKey, nowMs, service: "sts", payload },
      );
    } catch (error) {
      if (!(error instanceof S3Refusal)) throw error;
      return denied(error.status, error.code, error.message);
    }
    granted = roles.find((role) => role.roleArn === roleArn);
    if (granted === undefined)
      return denied(403, "AccessDenied", `The role ${roleArn} may not be taken on.`);
  } else return denied(400, "InvalidAction", "Could not find this operation.");

  const expiresAtMs = nowMs + seconds * 1000;
  const key = {
    accessKeyId: `ASIA${randomBytes(8).toString("hex").toUpperCase()}`,
    secretAccessKey: randomBytes(20).toString("hex"),
    sessionToken: randomBytes(32).toString("base64"),
    expiresAtMs,
    permissions: granted.permissions,
  };
  addKey(key);
  const body = document(
    `${action}Response`,
    tag(
      `${action}Result`,
      tag(
        "AssumedRoleUser",
        tag("Arn", `${roleArn}/${parameter("RoleSessionName")}`),
        tag("AssumedRoleId", "test"),
      ),
      tag(
        "Credentials",
        tag("AccessKeyId", key.accessKeyId),
        tag("SecretAccessKey", key.secretAccessKey),
        tag("SessionToken", key.sessionToken),
        tag("Expiration", new Date(expiresAtMs).toISOString()),
      ),
    ),
  );
  return { status: 200, body };
}

function denied(status: number, code: string, message: string): S3Answer {
  const error = tag("Error", tag("Type", "Sender"), tag("Code", code), tag("Message", message));
  return { status, body: document("ErrorResponse", error) };
}

function document(name: string, ...children: readonly { readonly xml: string }[]): string {
  const inner = children.map(({ xml }) => xml).join("");
  return `<${name} xmlns="${namespace}">${inner}</${name}>`;
}
