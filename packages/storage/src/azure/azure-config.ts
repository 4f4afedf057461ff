/**
 * Kopia's connection JSON of type `azureBlob`: read, checked, written in Kopia's order, and opened.
 * Format: docs/format/blobs.md. Proof: test/azure-config.test.ts.
 * @module
 */

import { connectionMembers, pointInTimeOf } from "../connection-members.ts";
import type { Authorizer } from "../http/api-client.ts";
import type { HttpTransport } from "../http/http-transport.ts";
import {
  credentialsMissing,
  processEnvironment,
  type ReadText,
  readTextFile,
} from "../http/surroundings.ts";
import { azureAccountKey, azureSharedAccessSignature, azureToken } from "./azure-authorizers.ts";
import type { AzureStoreOptions } from "./azure-store.ts";
import {
  azureClientCertificate,
  azureClientSecret,
  azureWorkloadIdentity,
} from "./azure-tokens.ts";

/** The members that Kopia writes, by its names. Others (throttling limits, newer ones) are kept as they are. */
export interface AzureConfig {
  readonly container: string;
  readonly prefix?: string | undefined;
  readonly storageAccount: string;
  readonly storageKey?: string | undefined;
  readonly sasToken?: string | undefined;
  readonly TenantID?: string | undefined;
  readonly ClientID?: string | undefined;
  readonly ClientSecret?: string | undefined;
  /** PEM: the certificate and its private key. */
  readonly clientCertificate?: string | undefined;
  readonly azureFederatedTokenFile?: string | undefined;
  readonly storageDomain?: string | undefined;
  readonly doNotUseTLS?: boolean | undefined;
  /** RFC 3339. */
  readonly pointInTime?: string | undefined;
  readonly [other: string]: unknown;
}

/** Members that are never shown to people. */
export const sensitiveAzureMembers: readonly string[] = Object.freeze([
  "storageKey",
  "sasToken",
  "ClientSecret",
  "clientCertificate",
]);

/** In Kopia's order; throttling limits stand between them and `pointInTime`. */
const members = connectionMembers("azureBlob", [
  ["container", "string", "always"],
  ["prefix", "string"],
  ["storageAccount", "string"],
  ["storageKey", "string"],
  ["sasToken", "string"],
  ["TenantID", "string"],
  ["ClientID", "string"],
  ["ClientSecret", "string"],
  ["clientCertificate", "string"],
  ["azureFederatedTokenFile", "string"],
  ["storageDomain", "string"],
  ["doNotUseTLS", "boolean"],
]);

/**
 * Checks the `config` of a connection.
 * @throws {FormatError} `DM_STORE_CONFIG_INVALID`, without the value that is wrong
 */
export function decodeAzureConfig(value: unknown): AzureConfig {
  const config = members.decode(value);
  members.require(config, "container");
  members.require(config, "storageAccount");
  pointInTimeOf(config["pointInTime"], members.invalid);
  return config as AzureConfig;
}

/** The `config` as Kopia writes it: its order, without empty members. */
export function encodeAzureConfig(config: AzureConfig): Record<string, unknown> {
  const { pointInTime, ...rest } = decodeAzureConfig(config);
  return { ...members.encode(rest), ...(pointInTime ? { pointInTime } : {}) };
}

export interface AzureConfigContext {
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** For the federated token; Node's file system by default. */
  readonly readText?: ReadText | undefined;
  /** Of requests for tokens. */
  readonly transport?: HttpTransport | undefined;
}

/**
 * What `azureStore` needs to open a connection. Of several credentials Kopia's order decides: signature, key, client's secret,
 * certificate, federated token. Without any, beyond Kopia, the workload identity of the pod: `AZURE_TENANT_ID`,
 * `AZURE_CLIENT_ID`, `AZURE_FEDERATED_TOKEN_FILE`.
 * @throws {FormatError} `DM_STORE_CONFIG_INVALID`
 * @example const store = azureStore(azureStoreOptions(decodeAzureConfig(connection.config)));
 */
export function azureStoreOptions(
  value: AzureConfig,
  context: AzureConfigContext = {},
): AzureStoreOptions {
  const config = decodeAzureConfig(value);
  return {
    account: config.storageAccount,
    container: config.container,
    prefix: config.prefix || "",
    storageDomain: config.storageDomain || undefined,
    tls: !config.doNotUseTLS,
    pointInTime: pointInTimeOf(config.pointInTime, members.invalid),
    credentials: configCredentials(config, context),
  };
}

function configCredentials(config: AzureConfig, context: AzureConfigContext): Authorizer {
  const { environment = processEnvironment(), readText = readTextFile, transport } = context;
  const { ClientSecret, clientCertificate, sasToken, storageAccount, storageKey } = config;
  if (sasToken) return azureSharedAccessSignature(sasToken);
  if (storageKey) {
    try {
      return azureAccountKey(storageAccount, storageKey);
    } catch {
      throw members.invalid("storageKey is not base64");
    }
  }
  const client = {
    tenantId: config.TenantID || environment["AZURE_TENANT_ID"] || "",
    clientId: config.ClientID || environment["AZURE_CLIENT_ID"] || "",
    environment,
    transport,
  };
  const isNamed = client.tenantId !== "" && client.clientId !== "";
  if (isNamed && ClientSecret) {
    return azureToken(azureClientSecret({ ...client, clientSecret: ClientSecret }));
  }
  if (isNamed && clientCertificate) {
    return azureToken(azureClientCertificate({ ...client, certificate: clientCertificate }));
  }
  const tokenFile = config.azureFederatedTokenFile || environment["AZURE_FEDERATED_TOKEN_FILE"];
  if (isNamed && tokenFile) {
    return azureToken(azureWorkloadIdentity({ ...client, token: () => readText(tokenFile) }));
  }
  return {
    async authorize() {
      throw credentialsMissing(
        "the connection has no account key, shared access signature, client secret, certificate or federated token",
      );
    },
  };
}
