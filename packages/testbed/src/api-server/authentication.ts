/**
 * Who is asking: bearer tokens of the administrator and of service accounts. Tokens are signed, not remembered, so that they
 * stay valid over a restart that keeps the key.
 * Proof: test/api-server/access.test.ts.
 * @module
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { ApiError } from "./api-error.ts";

export interface User {
  readonly name: string;
  readonly groups: readonly string[];
}

/** Members of this group may do everything. */
export const mastersGroup = "system:masters";

export const adminUser: User = {
  name: "kubernetes-admin",
  groups: [mastersGroup, "system:authenticated"],
};

export function serviceAccountUser(namespace: string, name: string): User {
  return {
    name: `system:serviceaccount:${namespace}:${name}`,
    groups: [
      "system:serviceaccounts",
      `system:serviceaccounts:${namespace}`,
      "system:authenticated",
    ],
  };
}

/** The user that an administrator speaks for with `--as` and `--as-group`. */
export function impersonatedUser(name: string, groups: string | string[] | undefined): User {
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name);
  if (account && groups === undefined) {
    return serviceAccountUser(account[1] as string, account[2] as string);
  }
  const given = typeof groups === "string" ? groups.split(/,\s*/) : (groups ?? []);
  return { name, groups: [...given, "system:authenticated"] };
}

export interface Authenticator {
  readonly adminToken: string;
  tokenFor(namespace: string, serviceAccount: string): string;
  /** @throws {ApiError} 401 without a token that this server signed */
  authenticate(authorization: string | undefined): User;
  /** Whose token it is. */
  userOf(token: string): User | undefined;
}

export function newTokenKey(): Buffer {
  return randomBytes(32);
}

export function createAuthenticator(key: Uint8Array): Authenticator {
  const header = base64Url({ alg: "HS256", typ: "JWT" });
  const signature = (text: string): Buffer => createHmac("sha256", key).update(text).digest();
  const tokenOf = (claims: Record<string, unknown>): string => {
    const text = `${header}.${base64Url(claims)}`;
    return `${text}.${signature(text).toString("base64url")}`;
  };

  const userOf = (token: string): User | undefined => {
    const dot = token.lastIndexOf(".");
    const given = Buffer.from(token.slice(dot + 1), "base64url");
    const expected = signature(token.slice(0, Math.max(dot, 0)));
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
    const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
    if (claims.sub === adminUser.name) return adminUser;
    const [, , namespace, name] = String(claims.sub).split(":");
    return serviceAccountUser(namespace ?? "", name ?? "");
  };

  return {
    adminToken: tokenOf({ sub: adminUser.name }),
    tokenFor: (namespace, name) => tokenOf({ sub: serviceAccountUser(namespace, name).name }),
    authenticate(authorization) {
      const token = /^Bearer\s+(\S+)\s*$/i.exec(authorization ?? "")?.[1];
      const user = token === undefined ? undefined : userOf(token);
      if (user === undefined) throw new ApiError(401, "Unauthorized", "Unauthorized");
      return user;
    },
    userOf,
  };
}

function base64Url(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
