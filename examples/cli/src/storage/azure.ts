/**
 * A repository in a container of Azure Blob Storage.
 * @module
 */
import type { AzureConfig } from "@dm/storage/azure";
import { UsageError } from "../io.ts";
import { secret } from "../options.ts";
import {
  type StorageProvider,
  type ThrottlingFlags,
  throttlingConfig,
  trustedCertificates,
  withThrottling,
} from "./provider.ts";

interface AzureFlags extends ThrottlingFlags {
  readonly container: string;
  readonly storageAccount?: string;
  readonly storageKey?: string;
  readonly storageDomain?: string;
  readonly sasToken?: string;
  readonly prefix?: string;
  readonly tenantId?: string;
  readonly clientId?: string;
  readonly clientSecret?: string;
  readonly clientCert?: string;
  readonly azureFederatedTokenFile?: string;
  readonly pointInTime?: string;
}

export const azureProvider: StorageProvider = {
  type: "azureBlob",
  command: "azure",
  place: "an Azure Blob container",
  secrets: ["storageKey", "sasToken", "ClientSecret", "clientCertificate"],
  withFlags(command, session) {
    withThrottling(
      command
        .requiredOption("--container <name>", "name of the container")
        .option("--storage-account <name>", "storage account (AZURE_STORAGE_ACCOUNT)")
        .addOption(secret(session, "--storage-key <key>"))
        .addOption(secret(session, "--sas-token <token>"))
        .option("--storage-domain <domain>", "domain of the cloud (AZURE_STORAGE_DOMAIN)")
        .option("--prefix <prefix>", "before all names; a folder ends in a slash")
        .option("--tenant-id <id>", "tenant of a service principal (AZURE_TENANT_ID)")
        .option("--client-id <id>", "its id (AZURE_CLIENT_ID)")
        .addOption(secret(session, "--client-secret <secret>"))
        .addOption(secret(session, "--client-cert <pem>"))
        .option(
          "--azure-federated-token-file <file>",
          "token of a workload identity (AZURE_FEDERATED_TOKEN_FILE)",
        )
        .option("--point-in-time <time>", "what a container with versions held then; read-only"),
    );
    command.addHelpText(
      "after",
      "\nSecrets come from AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE (PEM). Of several the\n" +
        "first counts: signature, key, secret, certificate, token. SSL_CERT_FILE names certificate authorities, as for kopia.",
    );
  },
  async connection(flags, { env, isCreation }) {
    const options = flags as AzureFlags;
    const { container, pointInTime, prefix } = options;
    if (isCreation && pointInTime) throw new UsageError("the past has no room for a repository");
    const storageAccount = options.storageAccount ?? env["AZURE_STORAGE_ACCOUNT"];
    if (!storageAccount)
      throw new UsageError("--storage-account or AZURE_STORAGE_ACCOUNT is needed");
    const config: AzureConfig = {
      container,
      prefix,
      storageAccount,
      storageKey: options.storageKey ?? env["AZURE_STORAGE_KEY"],
      sasToken: options.sasToken ?? env["AZURE_STORAGE_SAS_TOKEN"],
      TenantID: options.tenantId ?? env["AZURE_TENANT_ID"],
      ClientID: options.clientId ?? env["AZURE_CLIENT_ID"],
      ClientSecret: options.clientSecret ?? env["AZURE_CLIENT_SECRET"],
      clientCertificate: options.clientCert ?? env["AZURE_CLIENT_CERTIFICATE"],
      azureFederatedTokenFile: options.azureFederatedTokenFile ?? env["AZURE_FEDERATED_TOKEN_FILE"],
      storageDomain: options.storageDomain ?? env["AZURE_STORAGE_DOMAIN"],
      pointInTime,
      ...throttlingConfig(options),
    };
    const { encodeAzureConfig } = await import("@dm/storage/azure");
    return { type: "azureBlob", config: encodeAzureConfig(config) };
  },
  displayName: ({ container }) => `Azure: ${String(container)}`,
  async written(config) {
    const { encodeAzureConfig } = await import("@dm/storage/azure");
    return encodeAzureConfig(config as AzureConfig);
  },
  async open(config, { env, logger }) {
    const { azureStore, azureStoreOptions, decodeAzureConfig, nodeTransport } = await import(
      "@dm/storage/azure"
    );
    const transport = nodeTransport({ rootCa: await trustedCertificates(env), environment: env });
    const context = { environment: env, transport };
    return azureStore({
      ...azureStoreOptions(decodeAzureConfig(config), context),
      transport,
      logger,
    });
  },
};
