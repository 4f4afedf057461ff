/**
 * Credentials for a role from a security token service: by the token of a service account (IRSA, OpenShift's STS mode), or by
 * the keys of somebody who may take the role.
 * Proof: test/s3-credentials.test.ts.
 * @module
 */

import { AccessError, type Clock, nsPerMs, systemClock } from "@dm/core";
import { fetchTransport } from "../http/fetch-transport.ts";
import type { HttpResponse, HttpTransport } from "../http/http-transport.ts";
import { invalidAnswer } from "../http/invalid-answer.ts";
import { nodeTransport } from "../http/node-transport.ts";
import { encodeQuery } from "../http/percent-encoding.ts";
import { credentialsMissing, processEnvironment } from "../http/surroundings.ts";
import { childText, parseXml, type XmlElement } from "../http/xml.ts";
import { repeating } from "../retrying.ts";
import {
  type CredentialsProvider,
  refreshingCredentials,
  type S3Credentials,
  withToken,
} from "./credentials.ts";
import { faultError, readFault } from "./s3-errors.ts";
import { signRequest } from "./signing.ts";

interface RoleOptions {
  readonly roleArn: string;
  /** Seen in the audit log; `dm` by default. */
  readonly sessionName?: string | undefined;
  /** How long they shall hold; the service decides by default (an hour). */
  readonly durationSeconds?: number | undefined;
  /** URL of the service; by default AWS's, regional when a region is known. */
  readonly endpoint?: string | undefined;
  /** `AWS_REGION` or `AWS_DEFAULT_REGION` by default. */
  readonly region?: string | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  readonly transport?: HttpTransport | undefined;
  readonly clock?: Clock | undefined;
}

export interface WebIdentityOptions extends RoleOptions {
  /** Gives the token anew for each exchange: the kubelet rotates the file. */
  readonly token: () => Promise<string>;
}

export interface AssumeRoleOptions extends RoleOptions {
  readonly source: CredentialsProvider;
}

/** AssumeRoleWithWebIdentity: the token of a service account for credentials of a role. */
export function webIdentityCredentials(options: WebIdentityOptions): CredentialsProvider {
  const service = tokenService(options);
  return refreshingCredentials(async () => {
    let token: string;
    try {
      token = (await options.token()).trim();
    } catch (error) {
      const code = (error as { code?: string }).code ?? "unreadable";
      throw credentialsMissing(`the web identity token cannot be read (${code})`);
    }
    if (token === "") throw credentialsMissing("the web identity token is empty");
    return service("AssumeRoleWithWebIdentity", { WebIdentityToken: token }, undefined);
  }, options);
}

/** AssumeRole: own keys for credentials of a role. */
export function assumeRoleCredentials(options: AssumeRoleOptions): CredentialsProvider {
  const service = tokenService(options);
  return refreshingCredentials(
    async () => service("AssumeRole", {}, await options.source.credentials()),
    options,
  );
}

const maxAnswerBytes = 256 << 10;

function tokenService(
  options: RoleOptions,
): (
  action: string,
  parameters: Readonly<Record<string, string>>,
  signedBy: S3Credentials | undefined,
) => Promise<S3Credentials> {
  const { clock = systemClock, environment = processEnvironment() } = options;
  const transport = options.transport ?? nodeTransport({ environment }) ?? fetchTransport();
  const named = options.region || environment.AWS_REGION || environment.AWS_DEFAULT_REGION || "";
  const region = /^[a-z0-9-]+$/.test(named) ? named : "";
  const suffix = region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
  const standard = `https://sts.${region === "" ? "" : `${region}.`}${suffix}`;
  const endpoint = new URL(options.endpoint || standard).toString();
  const repeat = repeating({ attempts: 5, clock });

  return async (action, parameters, signedBy) => {
    const body = encodeQuery({
      Action: action,
      Version: "2011-06-15",
      RoleArn: options.roleArn,
      RoleSessionName: options.sessionName || "dm",
      ...(options.durationSeconds ? { DurationSeconds: String(options.durationSeconds) } : {}),
      ...parameters,
    });
    const bytes = new TextEncoder().encode(body);
    const ask = async (): Promise<HttpResponse> => {
      const headers = { "content-type": "application/x-www-form-urlencoded" };
      const plain = { method: "POST", url: endpoint, headers };
      const nowMs = Number(clock.nowNs() / nsPerMs);
      const scope = { region: region || "us-east-1", service: "sts", nowMs };
      // The signature of this service covers the body by its digest, which the signer takes itself.
      const signed = signedBy
        ? await signRequest(plain, { ...scope, credentials: signedBy }, bytes)
        : plain;
      const limits = { maxBodyBytes: maxAnswerBytes, timeoutMs: 30_000 };
      const response = await transport.send({ method: "POST", ...signed, body: bytes, ...limits });
      if (response.status === 200) return response;
      const fault = readFault(response, false);
      const error = faultError(fault, { bucket: options.roleArn, operation: action, key: "" });
      if (fault.status >= 500 || fault.status === 429) throw error;
      const text = `${action} for ${options.roleArn} was refused (${fault.code}: ${fault.message})`;
      throw new AccessError("DM_STORE_CREDENTIALS_INVALID", text, error.details);
    };
    return readCredentials(await repeat(undefined, ask), action);
  };
}

function readCredentials({ body }: HttpResponse, action: string): S3Credentials {
  const find = (element: XmlElement | undefined, name: string): XmlElement | undefined =>
    element?.children.find((child) => child.name === name);
  const found = find(find(parseXml(body), `${action}Result`), "Credentials");
  const text = (name: string): string => (found && childText(found, name)) ?? "";
  const expiresAtMs = Date.parse(text("Expiration"));
  if (text("AccessKeyId") === "" || text("SecretAccessKey") === "" || Number.isNaN(expiresAtMs)) {
    throw invalidAnswer(`no answer to ${action}`, body);
  }
  return {
    ...withToken(text("AccessKeyId"), text("SecretAccessKey"), text("SessionToken")),
    expiresAtMs,
  };
}
