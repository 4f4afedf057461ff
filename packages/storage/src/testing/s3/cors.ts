/**
 * What a browser asks before it lets a page of another origin talk to a bucket, and what it wants to see in answers.
 * Proof: test/testing-s3-server.test.ts.
 * @module
 */
import { refuse } from "./refusal.ts";
import type { S3Answer } from "./request.ts";

export interface CorsRule {
  /** `https://example.org`, or `*`. */
  readonly origins: readonly string[];
  /** `GET`, `HEAD`, `PUT`, `DELETE`, `POST`. */
  readonly methods: readonly string[];
  /** Headers that requests may carry, in any case, or `*`; none by default. */
  readonly headers?: readonly string[] | undefined;
  /** Headers of answers that pages may read; none by default. */
  readonly expose?: readonly string[] | undefined;
  readonly maxAgeSeconds?: number | undefined;
}

/** Lets every page do everything, and read what a client of S3 needs. */
export const openCors: CorsRule = {
  origins: ["*"],
  methods: ["GET", "HEAD", "PUT", "POST", "DELETE"],
  headers: ["*"],
  expose: [
    "Content-Range",
    "Date",
    "ETag",
    "Last-Modified",
    "x-amz-bucket-region",
    "x-amz-delete-marker",
    "x-amz-version-id",
  ],
  maxAgeSeconds: 600,
};

type Headers = ReadonlyMap<string, string>;

function ruleFor(rules: readonly CorsRule[], origin: string, method: string): CorsRule | undefined {
  return rules.find(
    ({ methods, origins }) =>
      (origins.includes("*") || origins.includes(origin)) && methods.includes(method),
  );
}

const allowOrigin = (rule: CorsRule, origin: string): Record<string, string> => ({
  "access-control-allow-origin": rule.origins.includes("*") ? "*" : origin,
  vary: "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
});

/** The answer to a preflight; refused unless a rule allows it. */
export function answerPreflight(rules: readonly CorsRule[], headers: Headers): S3Answer {
  const origin = headers.get("origin");
  const method = headers.get("access-control-request-method");
  if (origin === undefined || method === undefined)
    throw refuse("InvalidRequest", "Insufficient information. Origin request header needed.");
  const wanted = (headers.get("access-control-request-headers") ?? "")
    .split(",")
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "");
  const rule = ruleFor(rules, origin, method);
  const allowed = rule?.headers?.map((name) => name.toLowerCase()) ?? [];
  if (!rule || !(allowed.includes("*") || wanted.every((name) => allowed.includes(name))))
    throw refuse("AccessForbidden");
  return {
    status: 200,
    headers: {
      ...allowOrigin(rule, origin),
      "access-control-allow-methods": rule.methods.join(", "),
      ...(wanted.length > 0 && { "access-control-allow-headers": wanted.join(", ") }),
      ...(rule.maxAgeSeconds !== undefined && {
        "access-control-max-age": String(rule.maxAgeSeconds),
      }),
    },
  };
}

/** What an answer to a page needs; nothing when no rule allows the page to see it. */
export function corsHeaders(
  rules: readonly CorsRule[],
  headers: Headers,
  method: string,
): Record<string, string> {
  const origin = headers.get("origin");
  const rule = origin === undefined ? undefined : ruleFor(rules, origin, method);
  if (!rule || origin === undefined) return {};
  return {
    ...allowOrigin(rule, origin),
    ...(rule.expose && { "access-control-expose-headers": rule.expose.join(", ") }),
  };
}
