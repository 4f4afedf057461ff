/** `dm repository doctor`. */
import { type Diagnosis, diagnoseRepository, repairRepository } from "@dm/snapshot";
import type { BlobStore } from "@dm/storage";
import type { Command } from "commander";
import { LossError } from "../io.ts";
import { Progress } from "../progress.ts";
import type { Session } from "../session.ts";
import { formatBytes, goJson } from "../text.ts";

interface DoctorOptions {
  readonly repair?: boolean;
  readonly quick?: boolean;
  readonly json?: boolean;
}

export function doctorCommand(parent: Command, session: Session): void {
  parent
    .command("doctor")
    .description("Explain what is damaged, and plan its repair; writes nothing without --repair")
    .option("--repair", "carry the plan out, once it was shown")
    .option("--quick", "compare the index with the lengths of packs, and read no data")
    .option("--json", "output as JSON")
    .action(async (options: DoctorOptions) => {
      const store = await session.openStore(await session.config());
      try {
        const password = await session.password();
        const diagnosis = await examine(session, store, password, options.quick === true);
        if (options.json) await session.io.out(`${goJson(jsonOf(diagnosis))}\n`);
        else await session.io.out(reportOf(session, diagnosis));
        if (options.repair && diagnosis.plan.length > 0)
          await carryOut(session, store, password, diagnosis);
        conclude(session, diagnosis, options.repair === true);
      } finally {
        await store.close();
      }
    });
}

async function examine(
  session: Session,
  store: BlobStore,
  password: string,
  quick: boolean,
): Promise<Diagnosis> {
  using progress = await Progress.open(session, "packs");
  return diagnoseRepository(store, {
    password,
    deriveKey: session.io.deriveKey,
    clock: session.clock,
    signal: session.signal,
    readData: !quick,
    onProgress: ({ done, part, total }) => {
      if (part === "packs" && total !== undefined) progress.update(done, total);
      if (part === "snapshots") progress.end();
    },
  });
}

async function carryOut(
  session: Session,
  store: BlobStore,
  password: string,
  { plan }: Diagnosis,
): Promise<void> {
  const { signal } = session;
  await repairRepository(store, plan, {
    signal,
    onStep: ({ text }) => session.say(`Done: ${text}.`),
  });
  if (plan.some((step) => step.do === "restoreFormat")) await session.forgetCachedFormat();
  const again = await examine(session, store, password, true);
  if (!again.opens || again.plan.length > 0)
    throw new Error("there is damage that was not there before the repair: look again");
}

/** @throws what leads to the exit code: damage that stands, or losses */
function conclude(
  session: Session,
  { findings, ok, opens, plan }: Diagnosis,
  repair: boolean,
): void {
  const losses = findings.filter(({ severity }) => severity === "lost").length;
  if (ok) {
    session.say("The repository is healthy.");
    return;
  }
  if (!opens) throw new Error("the repository cannot be opened, and nothing here can repair it");
  if (plan.length > 0 && !repair)
    throw new Error("damage was found, and nothing was written; --repair carries the plan out");
  if (losses === 0) {
    session.say("The repository is repaired.");
    return;
  }
  if (findings.some(({ part, severity }) => part === "snapshots" && severity === "lost")) {
    session.say(
      "`dm snapshot fix invalid-files --verify-files-percent=100 --commit` writes the snapshots again without what is lost;",
    );
    session.say(
      "`dm repository doctor --repair` after it, so that the next backup stores what it finds of that again.",
    );
  }
  const text = losses === 1 ? "one loss" : `${losses} losses`;
  if (repair) throw new LossError(`nothing more can be repaired; left as listed: ${text}`);
  throw new Error(`damage was found that nothing can repair: ${text}, as listed`);
}

const headings = {
  repairable: "Can be repaired:",
  lost: "Is lost:",
  note: "For your information:",
} as const;

function reportOf(session: Session, { findings, plan }: Diagnosis): string {
  const lines: string[] = [];
  for (const severity of ["repairable", "lost", "note"] as const) {
    const found = findings.filter((finding) => finding.severity === severity);
    if (found.length > 0) lines.push(headings[severity], ...found.map(({ text }) => `  ${text}`));
  }
  if (plan.length > 0) lines.push("Plan:");
  for (const [at, { text, writes }] of plan.entries()) {
    lines.push(`  ${at + 1}. ${text}`);
    for (const write of writes) {
      const size = write.do === "put" ? ` (${formatBytes(session.io, write.data.length)})` : "";
      lines.push(`     ${write.do} ${write.blobId}${size}`);
    }
  }
  return lines.map((line) => `${line}\n`).join("");
}

function jsonOf({ damagedSnapshots, findings, ok, opens, plan }: Diagnosis): object {
  return {
    ok,
    opens,
    findings,
    damagedSnapshots: [...damagedSnapshots],
    plan: plan.map((step) => ({
      do: step.do,
      text: step.text,
      writes: step.writes.map((write) => ({
        do: write.do,
        blobId: write.blobId,
        ...(write.do === "put" ? { length: write.data.length } : {}),
      })),
    })),
  };
}
