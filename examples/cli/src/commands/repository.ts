/** `dm repository …`: making, connecting and changing repositories. */
import { rm } from "node:fs/promises";
import { changePassword } from "@dm/repo";
import {
  readClientConfig,
  readPasswordFile,
  removeClientConfig,
  removeConnectionCaches,
  writePasswordFile,
} from "@dm/repo/client";
import type { Command } from "commander";
import { storageProviders } from "../connection.ts";
import { secret } from "../options.ts";
import type { Session } from "../session.ts";
import { connectCommand } from "./repository-connect.ts";
import { createCommand } from "./repository-create.ts";
import { doctorCommand } from "./repository-doctor.ts";
import { setParametersCommand } from "./repository-parameters.ts";
import { statusCommand } from "./repository-status.ts";
import { syncToCommand } from "./repository-sync-to.ts";
import { upgradeCommand } from "./repository-upgrade.ts";
import { validateProviderCommand } from "./repository-validate-provider.ts";

export async function repositoryCommands(parent: Command, session: Session): Promise<void> {
  const providers = await storageProviders();
  const repository = parent
    .command("repository")
    .alias("repo")
    .description("Commands to manipulate a repository");
  createCommand(repository, session, providers);
  connectCommand(repository, session, providers);
  disconnectCommand(repository, session);
  statusCommand(repository, session);
  changePasswordCommand(repository, session);
  doctorCommand(repository, session);
  setParametersCommand(repository, session);
  syncToCommand(repository, session, providers);
  upgradeCommand(repository, session);
  validateProviderCommand(repository, session);
}

function disconnectCommand(repository: Command, session: Session): void {
  repository
    .command("disconnect")
    .description("Forget the connection, its stored password and its cache")
    .action(async () => {
      const configPath = await session.configPath();
      const config = await readClientConfig(configPath);
      await removeConnectionCaches({ config, configPath, env: {} });
      await removeClientConfig(configPath);
      for (const suffix of [".mlock", ".mlock.dm"]) {
        await rm(configPath + suffix, { force: true });
      }
      session.say("Disconnected.");
    });
}

function changePasswordCommand(repository: Command, session: Session): void {
  repository
    .command("change-password")
    .description("Change the password of the repository (new one from KOPIA_NEW_PASSWORD)")
    .addOption(secret(session, "--new-password <password>"))
    .action(async (options: { readonly newPassword?: string }) => {
      const config = await session.config();
      const store = await session.openStore(config);
      try {
        const opened = await session.openFormat(store);
        const newPassword = await session.newPassword(
          options.newPassword ?? session.io.env["KOPIA_NEW_PASSWORD"],
          "Enter new password: ",
          "set KOPIA_NEW_PASSWORD",
        );
        const { clock, signal } = session;
        const { deriveKey } = session.io;
        await changePassword(store, opened, { newPassword, clock, deriveKey, signal });
        await session.forgetCachedFormat();
        const configPath = await session.configPath();
        if (session.globals.persistCredentials || (await readPasswordFile(configPath))) {
          await writePasswordFile(configPath, newPassword);
        }
        session.say("NOTE: Repository password has been changed.");
      } finally {
        await store.close();
      }
    });
}
