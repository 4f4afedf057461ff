/**
 * The part of Amazon's token service that pods use: a web identity token, as Kubernetes puts it into a file, against
 * temporary keys with a session token.
 * Proof: test/testing-s3-roles.test.ts.
 * @module
 */
import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { AccessKey, Permission } from "./access-key.ts";
import { refuse } from "./refusal.ts";
import type { S3Answer } from "./request.ts";
import type { Target } from "./uri.ts";
import { tag } from "./xml.ts";

/** A token that is accepted, and what the keys that are given out for it may do. */
export interface WebIdentity {
  readonly token: string;
  /** The role that must be asked for; any by default. */
  readonly roleArn?: string | undefined;
  readonly permissions?: readonly Permission[] | undefined;
}

export interface TokenServiceOptions {
  readonly identities: readonly WebIdentity[];
  readonly nowMs: number;
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
  { addKey, identities, nowMs }: TokenServiceOptions,
): Promise<S3Answer> {
  let form = "";
  for await (const piece of request as AsyncIterable<Buffer>) {
    form += piece.toString("latin1");
    if (form.length > maxFormBytes)
      throw refuse("MaxMessageLengthExceeded", { headers: { connection: "close" } });
  }
  const parameters = new URLSearchParams(form);
  const query = new URL(request.url ?? "/", "http://localhost").searchParams;
  const parameter = (name: string): string => parameters.get(name) ?? query.get(name) ?? "";
  const denied = (status: number, code: string, message: string): S3Answer => ({
    status,
    body: document("ErrorResponse", tag("Error", tag("Code", code), tag("Message", message))),
  });
  if (parameter("Action") !== "AssumeRoleWithWebIdentity")
    return denied(400, "InvalidAction", "Could not find this operation.");
  const roleArn = parameter("RoleArn");
  const identity = identities.find(
    ({ roleArn: role, token }) =>
      token === parameter("WebIdentityToken") && (role === undefined || role === roleArn),
  );
  if (identity === undefined)
    return denied(400, "InvalidIdentityToken", "The web identity token is not known here.");
  const seconds = Number(parameter("DurationSeconds") || "3600");
  if (!(Number.isInteger(seconds) && seconds >= 1 && seconds <= 43_200))
    return denied(400, "ValidationError", "DurationSeconds is out of range.");
  const key: AccessKey = {
    accessKeyId: `ASIA${randomBytes(8).toString("hex").toUpperCase()}`,
    secretAccessKey: randomBytes(20).toString("hex"),
    sessionToken: randomBytes(32).toString("base64"),
    expiresAtMs: nowMs + seconds * 1000,
    permissions: identity.permissions,
  };
  addKey(key);
  const body = document(
    "AssumeRoleWithWebIdentityResponse",
    tag(
      "AssumeRoleWithWebIdentityResult",
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
        tag("Expiration", new Date(nowMs + seconds * 1000).toISOString()),
      ),
    ),
  );
  return { status: 200, body };
}

function document(name: string, ...children: readonly { readonly xml: string }[]): string {
  const inner = children.map(({ xml }) => xml).join("");
  return `<${name} xmlns="${namespace}">${inner}</${name}>`;
}
