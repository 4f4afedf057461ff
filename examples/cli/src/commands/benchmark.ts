/** `dm benchmark …`: how fast the algorithms are on this machine, in kopia's tables. */
import type { Command } from "commander";
import { compressionCommand } from "../benchmark/compression.ts";
import { cryptoCommand, encryptionCommand, hashingCommand } from "../benchmark/crypto.ts";
import { eccCommand } from "../benchmark/ecc.ts";
import { splitterCommand } from "../benchmark/splitter.ts";
import type { Session } from "../session.ts";

export function benchmarkCommands(parent: Command, session: Session): void {
  const benchmark = parent
    .command("benchmark")
    .description("Commands to measure algorithms on this machine");
  compressionCommand(benchmark, session);
  cryptoCommand(benchmark, session);
  splitterCommand(benchmark, session);
  hashingCommand(benchmark, session);
  encryptionCommand(benchmark, session);
  eccCommand(benchmark, session);
}
